"""`python -m tests.benchmarks WORK`: figures of this system, and of others on the same work. CPU is user + system time
of the whole process tree, so that a busy machine changes little."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def run_full(options: argparse.Namespace) -> dict[str, Any]:
    """One worker drains a backlog."""
    from tests.benchmarks.full import full

    ours = full(
        events=options.events or 60_000,
        source=options.source,
        data=options.data,
        partitions=options.partitions,
    )
    return {"work": "full", "source": options.source, "ours": ours, "peers": {}}


def run_latency(options: argparse.Namespace) -> dict[str, Any]:
    """Events at a pace."""
    from tests.benchmarks.latency import latency

    ours = latency(rates=options.rates, seconds=options.seconds, partitions=options.partitions)
    return {"work": "latency", "ours": ours, "peers": {}}


def run_windows(options: argparse.Namespace) -> dict[str, Any]:
    """Every system on the same clicks, in turns."""
    from tests.benchmarks.windows import PEERS, windows
    from tests.benchmarks.windows_picture import draw

    result = windows(
        events=options.events or 300_000,
        partitions=options.partitions,
        turns=options.turns,
        peers=PEERS if options.peers is None else options.peers,
        limit_s=options.limit,
        seconds=options.seconds,
        rate=max(options.rates),
    )
    if options.picture:
        draw(result, options.picture)
    return result


def run_gpu(options: argparse.Namespace) -> dict[str, Any]:
    """The model on one CUDA card; exits with one line where there is none."""
    from tests.benchmarks.gpu import NoCardError, gpu

    try:
        return {"work": "gpu", "ours": gpu(device=options.device, quick=options.quick), "peers": {}}
    except NoCardError as error:
        sys.exit(str(error))


WORKS = {"windows": run_windows, "full": run_full, "latency": run_latency, "gpu": run_gpu}


def show(result: dict[str, Any]) -> Table:
    """A table for people: one column per system."""
    if result["work"] == "windows":
        from tests.benchmarks.windows_picture import table

        return table(result)
    systems = {"ours": result["ours"], **result["peers"]}
    table = Table(result["work"], *systems)
    rows: dict[str, dict[str, Any]] = {}
    for name, figures in systems.items():
        for key, value in figures.items():
            parts = value.items() if isinstance(value, dict) else [("", value)]
            for part, number in parts:
                rows.setdefault(f"{key} {part}".strip(), {})[name] = number
    for label, values in rows.items():
        table.add_row(label, *(_shown(values.get(name)) for name in systems))
    return table


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("work", choices=WORKS)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--events", type=int, help="how many events")
    parser.add_argument("--source", default="simulator", help="simulator, or a recorded source such as composite")
    parser.add_argument("--data", type=Path, help="folder of the recorded data sets (else STREAM_APP_TEST_DATA)")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--rates", type=int, nargs="+", default=[200, 2_000], help="latency: events per second")
    parser.add_argument("--seconds", type=float, default=15, help="latency: how long each rate is held")
    parser.add_argument("--turns", type=int, default=2, help="windows: how often each system has its turn")
    parser.add_argument("--limit", type=float, default=60, help="windows: seconds after which a turn is ended")
    parser.add_argument("--peers", nargs="*", help="windows: these only")
    parser.add_argument("--picture", type=Path, help="windows: a plot to this file (PNG)")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="gpu: cpu only tries its paths")
    parser.add_argument("--quick", action="store_true", help="gpu: small, to see that it works")
    options = parser.parse_args()
    result = WORKS[options.work](options)
    if options.json:
        print(json.dumps(result))
    else:
        Console().print(show(result))


if __name__ == "__main__":
    main()
