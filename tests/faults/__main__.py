"""`python -m tests.faults --faults 100 --events 2000000 --json`: break the system at random, then count."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import tempfile
from pathlib import Path

from tests.faults.chaos import KINDS, Fault
from tests.faults.run import WRONG, run


def main() -> int:
    """0 when nothing was lost, repeated, miscounted or left unexplained."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--faults", type=int, default=10)
    parser.add_argument("--events", type=int, default=20_000, help="at least so many")
    parser.add_argument("--rate", type=int, default=300, help="events a second while things break")
    parser.add_argument("--seed", type=int, default=1, help="the same seed draws the same faults and shoppers")
    parser.add_argument(
        "--only", default="", help=f"in turn, comma-separated, instead of at random: {', '.join(KINDS)}"
    )
    parser.add_argument("--folder", type=Path, help="keep logs and topics here")
    parser.add_argument("--json", action="store_true", help="one object on standard output, as without it")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)  # of the clients here, which complain of every fault

    def told(fault: Fault) -> None:
        print(f"{fault.kind:<16} paused {fault.pause_s:.1f} s", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="stream-app-faults-") as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        kinds = [kind for kind in given.only.split(",") if kind]
        if unknown := set(kinds) - KINDS.keys():
            parser.error(f"no such fault: {', '.join(unknown)}")
        work = run(
            folder,
            faults=given.faults,
            events=given.events,
            rate=given.rate,
            seed=given.seed,
            kinds=kinds,
            told=told,
        )
        result = asyncio.run(work)
    print(json.dumps(result))
    return int(any(result[name] for name in (*WRONG, "failed")))


if __name__ == "__main__":
    sys.exit(main())
