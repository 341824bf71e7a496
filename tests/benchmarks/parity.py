"""`python -m tests.benchmarks.parity`: two workers, disorder, copies, bad records, kills and joins; then audit, parity
and replay, as a user would ask for them. Exits non-zero where anything differs."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stream_app.broker import EmbeddedBroker
from stream_app.demo.stack import worker_environment
from stream_app.producers.bad_input import with_bad
from stream_app.producers.publish import Encoded, encode
from stream_app.producers.simulate import past_start_ms, simulate
from stream_app.transport import admin
from tests.kafka.workers import System, kill, settings_for, until

BAD = 0.01
STRAY = 250
"""Of so many records one has another key than its user."""
DEADLINE_S = 3_600.0
MUST_BE_0 = ("mismatch", "missing", "extra", "unexplained", "repeated", "unknown")


def stream(events: int, users: int, seed: int) -> Iterator[Encoded]:
    """Simulated shoppers: a twentieth out of order, one in 200 twice; some records are bad or under a wrong key."""
    start_ms = past_start_ms(time.time_ns() // 1_000_000, events)
    shoppers = simulate(users=users, seed=seed, start_ms=start_ms, events=events)
    records = (encode(*one) for one in shoppers)
    strayed = (one._replace(key=b"stray") if at % STRAY == 0 else one for at, one in enumerate(records))
    return with_bad(strayed, BAD, seed=seed)


async def consumed(system: System) -> int:
    """Input offsets that are committed."""
    done = await admin.committed(system.settings.broker, system.settings.pipeline.name)
    return sum(offset for (topic, _), offset in done.items() if topic in system.names.inputs)


async def finished(system: System) -> bool:
    """Whether every input is committed to its last record."""
    done = await admin.committed(system.settings.broker, system.settings.pipeline.name)
    ends = await admin.bounds(system.settings.broker, system.names.inputs)
    if any(done.get(tp, 0) < end for tp, (_, end) in ends.items()):
        return False
    routed = await system.read("internal.repartition")
    return all(done.get((record.topic, record.partition), 0) > record.offset for record in routed)


async def disturb(system: System, events: int) -> list[str]:
    """What happens to the workers on the way, by how much has been done."""
    first, second = system.workers[:2]
    happened = []

    async def at(share: float) -> None:
        async def far_enough() -> bool:
            return await consumed(system) >= share * events

        await until(far_enough, deadline_s=DEADLINE_S)

    await at(0.15)
    await kill(first)
    happened.append("kill -9")
    await at(0.35)
    third = system.start_worker()
    await until(lambda: '"assigned"' in third.log_file.read_text(), deadline_s=DEADLINE_S)
    happened.append("a third worker joins")
    await at(0.55)
    await asyncio.to_thread(second.stop)
    happened.append("SIGTERM")
    await at(0.7)
    for pid in reversed(third.children()):
        os.kill(pid, signal.SIGKILL)
    assert third.process is not None
    await asyncio.to_thread(third.process.wait)
    system.start_worker()
    happened.append("kill -9 of a whole worker, another joins")
    return happened


def asked(system: System, *arguments: str) -> dict[str, Any]:
    """What a command prints as JSON, with its CPU seconds and its peak memory."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    measured = "import resource,sys\nfrom stream_app.cli import main\ntry:\n    main()\nfinally:\n" + (
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", measured, *arguments],
        env=worker_environment(system.settings),
        capture_output=True,
        text=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    printed = ended.stdout.strip().splitlines()
    if not printed:
        raise RuntimeError(f"{arguments}: {ended.stderr.strip()[-500:]}")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    peak_mib = int(ended.stderr.split()[-1]) / 1024
    return json.loads(printed[-1]) | {"cpu_s": round(cpu_s, 1), "peak_mib": round(peak_mib)}


async def run(folder: Path, *, events: int, users: int, seed: int, partitions: int) -> dict[str, Any]:
    """One run."""
    broker = EmbeddedBroker(folder / "broker", partitions=partitions)
    await asyncio.to_thread(broker.start)
    system = System(settings_for(broker.url, "parity.", folder, partitions=partitions), folder)
    try:
        await system.create_topics()
        for _ in range(2):
            system.start_worker()
        disturbing = asyncio.create_task(disturb(system, events))
        try:
            sent = await system.send(stream(events, users, seed))
            happened = await disturbing
        finally:
            disturbing.cancel()
        await until(lambda: finished(system), deadline_s=DEADLINE_S, every_s=1)
        await asyncio.to_thread(system.stop)
        ledger = await asyncio.to_thread(asked, system, "audit", "--json")
        features = await asyncio.to_thread(asked, system, "audit", "--parity", "--json")
        replayed = await asyncio.to_thread(asked, system, "replay", "--into", "again", "--json")
        after = await asyncio.to_thread(asked, system, "audit", "--json")
    finally:
        await asyncio.to_thread(system.stop)
        await asyncio.to_thread(broker.close)
    fates = ("predicted", "duplicate", "late", "partial", "dead_lettered", "routed", "unexplained", "pending")
    return {
        "events": sent,
        "workers": 2,
        "disturbances": happened,
        **{name: features[name] for name in ("compared", "mismatch", "missing", "extra", "first_differing")},
        **{name: ledger[name] for name in (*fates, "repeated", "unknown")},
        "scores": replayed,
        "untouched": all(ledger[name] == after[name] for name in (*fates, "records")),
        "cost": {
            name: {key: one[key] for key in ("cpu_s", "peak_mib")}
            for name, one in (("audit", ledger), ("parity", features), ("replay", replayed))
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.parity", description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--users", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--json", action="store_true", help="one object on one line")
    given = parser.parse_args()
    with TemporaryDirectory(prefix="stream-app-parity-") as folder:
        work = run(Path(folder), events=given.events, users=given.users, seed=given.seed, partitions=given.partitions)
        result = asyncio.run(work)
    print(json.dumps(result) if given.json else json.dumps(result, indent=1))
    return int(any(result[name] for name in MUST_BE_0) or not result["untouched"])


if __name__ == "__main__":
    sys.exit(main())
