"""`python -m tests.benchmarks WORK`: figures of this system, and of others on the same work. CPU is user + system time
of the whole process tree, so that a busy machine changes little."""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def run_full(options: argparse.Namespace) -> dict[str, Any]:
    """One worker drains a backlog, then keeps a pace; then a loop by hand does."""
    from tests.benchmarks.full import full

    found = full(
        events=options.events or 60_000,
        source=options.source,
        data=options.data,
        partitions=options.partitions,
        rate=max(options.rates),
        seconds=options.seconds,
        peers=options.peers != [],
    )
    ours = found.pop("ours")
    for figures in found.values():
        figures["times_ours"] = round(figures["cpu_us_per_event"] / ours["cpu_us_per_event"], 2)
    return {"work": "full", "source": options.source, "ours": ours, "peers": found}


def run_latency(options: argparse.Namespace) -> dict[str, Any]:
    """Events at a pace."""
    from tests.benchmarks.latency import latency

    ours = latency(rates=options.rates, seconds=options.seconds, partitions=options.partitions)
    return {"work": "latency", "ours": ours, "peers": {}}


def run_state(options: argparse.Namespace) -> dict[str, Any]:
    """Users back after kill -9."""
    from tests.benchmarks.restore import state

    return {
        "work": "state",
        "ours": state(users=options.users or 1_000_000, partitions=options.partitions),
        "peers": {},
    }


def run_scale(options: argparse.Namespace) -> dict[str, Any]:
    """Few and many users in the state."""
    from tests.benchmarks.scale import scale

    ours = scale(few=10_000, many=options.users or 5_000_000, events=options.events or 200_000)
    return {"work": "scale", "ours": ours, "peers": {}}


def run_workers(options: argparse.Namespace) -> dict[str, Any]:
    """One worker and two on the same backlog."""
    from tests.benchmarks.workers import workers

    ours = workers(events=options.events or 200_000, partitions=options.partitions)
    return {"work": "workers", "ours": ours, "peers": {}}


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


def run_soak(options: argparse.Namespace) -> dict[str, Any]:
    """Half of the capacity, for long."""
    from tests.benchmarks.soak import soak

    told = partial(print, file=sys.stderr, flush=True)
    ours = soak(minutes=options.minutes, partitions=options.partitions, rate=options.rate, told=told)
    return {"work": "soak", "ours": ours, "peers": {}}


def run_poison(options: argparse.Namespace) -> dict[str, Any]:
    """Bad records among good ones, without a broker."""
    from tests.benchmarks.poison import poison

    return {"work": "poison", "ours": poison(events=options.events or 8_192, turns=options.turns), "peers": {}}


def run_serving(options: argparse.Namespace) -> dict[str, Any]:
    """The HTTP API under load."""
    from tests.benchmarks.serving import serving

    rate = options.rate or 500
    ours = serving(rate=rate, asks=options.asks, seconds=options.seconds, partitions=options.partitions)
    return {"work": "serving", "ours": ours, "peers": {}}


def run_fairness(options: argparse.Namespace) -> dict[str, Any]:
    """Everybody's latency beside a hot user, and beside heavy texts."""
    from tests.benchmarks.fairness import fairness

    rate = options.rate or 500
    ours = fairness(rate=rate, seconds=options.seconds, turns=options.turns, partitions=options.partitions)
    return {"work": "fairness", "ours": ours, "peers": {}}


def run_dashboards(options: argparse.Namespace) -> dict[str, Any]:
    """Every panel on a real Prometheus."""
    from tests.benchmarks.dashboards import dashboards

    return {
        "work": "dashboards",
        "ours": dashboards(rate=options.rate or 500, partitions=options.partitions),
        "peers": {},
    }


WORKS = {
    "windows": run_windows,
    "full": run_full,
    "latency": run_latency,
    "state": run_state,
    "scale": run_scale,
    "workers": run_workers,
    "soak": run_soak,
    "poison": run_poison,
    "serving": run_serving,
    "fairness": run_fairness,
    "dashboards": run_dashboards,
    "gpu": run_gpu,
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
            parts = dict(enumerate(value, 1)) if isinstance(value, list) else value
            for part, number in parts.items() if isinstance(parts, dict) else [("", parts)]:
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
    parser.add_argument("--users", type=int, help="state, scale: how many users")
    parser.add_argument("--source", default="simulator", help="simulator, or a recorded source such as composite")
    parser.add_argument("--data", type=Path, help="folder of the recorded data sets (else STREAM_APP_TEST_DATA)")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument(
        "--rates",
        type=int,
        nargs="+",
        default=[200, 2_000],
        help="events per second; the highest alone but for latency",
    )
    parser.add_argument("--seconds", type=float, default=15, help="how long a rate is held")
    parser.add_argument("--minutes", type=int, default=30, help="soak: how long")
    parser.add_argument(
        "--rate",
        type=int,
        help="serving, fairness, dashboards: events per second, 500; soak: instead of half of what it drained",
    )
    parser.add_argument("--asks", type=float, default=25, help="serving: requests per second of each kind")
    parser.add_argument("--turns", type=int, default=2, help="windows, poison, fairness: how often each has its turn")
    parser.add_argument("--limit", type=float, default=60, help="windows: seconds after which a turn is ended")
    parser.add_argument("--peers", nargs="*", help="these only; none without names")
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
