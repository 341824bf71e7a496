"""`python -m tests.benchmarks WORK`: figures of this system, and of others on the same work. CPU is user + system time
of the whole process tree, so that a busy machine changes little."""

from __future__ import annotations

import argparse
import json
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


def run_serving(options: argparse.Namespace) -> dict[str, Any]:
    """The HTTP API under load."""
    from tests.benchmarks.serving import serving

    ours = serving(rate=options.rate, asks=options.asks, seconds=options.seconds, partitions=options.partitions)
    return {"work": "serving", "ours": ours, "peers": {}}


def run_dashboards(options: argparse.Namespace) -> dict[str, Any]:
    """Every panel on a real Prometheus."""
    from tests.benchmarks.dashboards import dashboards

    return {"work": "dashboards", "ours": dashboards(rate=options.rate, partitions=options.partitions), "peers": {}}


WORKS = {
    "windows": run_windows,
    "full": run_full,
    "latency": run_latency,
    "serving": run_serving,
    "dashboards": run_dashboards,
}


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
        table.add_row(label, *(_cell(values.get(name)) for name in systems))
    return table


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else "–" if value is None else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("work", choices=WORKS)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--events", type=int, help="how many events")
    parser.add_argument("--source", default="simulator", help="simulator, or a recorded source such as composite")
    parser.add_argument("--data", type=Path, help="folder of the recorded data sets (else STREAM_APP_TEST_DATA)")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--rates", type=int, nargs="+", default=[200, 2_000], help="latency: events per second")
    parser.add_argument("--seconds", type=float, default=15, help="latency, serving: how long each rate is held")
    parser.add_argument("--rate", type=int, default=500, help="serving, dashboards: events per second")
    parser.add_argument("--asks", type=float, default=25, help="serving: requests per second of each kind")
    parser.add_argument("--turns", type=int, default=2, help="windows: how often each system has its turn")
    parser.add_argument("--limit", type=float, default=60, help="windows: seconds after which a turn is ended")
    parser.add_argument("--peers", nargs="*", help="windows: these only")
    parser.add_argument("--picture", type=Path, help="windows: a plot to this file (PNG)")
    options = parser.parse_args()
    result = WORKS[options.work](options)
    if options.json:
        print(json.dumps(result))
    else:
        Console().print(show(result))


if __name__ == "__main__":
    main()
