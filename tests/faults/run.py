"""One run: a system under load, faults, and the account of what it did."""

from __future__ import annotations

import asyncio
import random
import resource
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stream_app.audit.run import audit
from stream_app.broker import EmbeddedBroker
from tests.faults.chaos import Chaos, Fault
from tests.faults.load import Load
from tests.faults.pauses import Follower
from tests.kafka.workers import System, last_words, one_user_per_partition, settings_for, until

HOUR_MS = 3_600_000
SETTLED_S = 300.0
HOPELESS = 3
"""Faults in a row after which nothing recovers: what is broken is broken for good."""
WRONG = ("lost", "repeated", "wrong_windows", "unexplained")
"""What must be 0. What `failed` did not recover in time, or not by itself: it must be empty."""


async def run(
    folder: Path,
    *,
    faults: int,
    events: int,
    rate: int,
    seed: int,
    kinds: Sequence[str] = (),
    told: Callable[[Fault], object] = lambda _: None,
) -> dict[str, Any]:
    """Faults are spread over the events; `kinds` are struck in turn, or else any at random."""
    broker = EmbeddedBroker(folder / "broker")
    await asyncio.to_thread(broker.start)
    system = System(settings_for(broker.url, "faults.", folder), folder)
    try:
        return await _run(system, broker, faults=faults, events=events, rate=rate, seed=seed, kinds=kinds, told=told)
    finally:
        await asyncio.to_thread(system.stop)
        await asyncio.to_thread(broker.close)


async def _run(
    system: System,
    broker: EmbeddedBroker,
    *,
    faults: int,
    events: int,
    rate: int,
    seed: int,
    kinds: Sequence[str],
    told: Callable[[Fault], object],
) -> dict[str, Any]:
    started_s = time.monotonic()
    await system.create_topics()
    load = Load(system.settings, events, rate, seed)
    follower = Follower(system.settings, system.names.predictions)
    chaos = Chaos(system, broker, follower, random.Random(seed))
    following, feeding = asyncio.create_task(follower.run()), asyncio.create_task(load.run())
    try:
        await chaos.start()
        for number in range(faults):
            due = events * number / faults
            await until(lambda due=due: load.sent >= due or feeding.done(), deadline_s=HOUR_MS / 1000)  # type: ignore[misc]
            assert not feeding.done(), feeding.exception()
            told(await chaos.strike(kinds[number % len(kinds)] if kinds else chaos.pick()))
            if chaos.failed_in_a_row >= HOPELESS:
                break
            await chaos.rest()
        load.wanted = False
        await feeding
    finally:
        for task in (feeding, following):
            task.cancel()
        await asyncio.wait((feeding, following))
        await load.stop()
    broken_s = time.monotonic()
    users = one_user_per_partition(system.settings.topics.partitions)
    await system.send(last_words(load.latest_ms + 2 * HOUR_MS, users))
    account = await system.account(deadline_s=SETTLED_S)
    wrong = await system.window_differences(until_ms=load.latest_ms + HOUR_MS, deadline_s=SETTLED_S)
    ledger = await audit(system.settings)
    return {
        "events": account.inputs,
        "faults": len(chaos.happened),
        "fenced": chaos.fenced,
        "failed": chaos.failed,
        "lost": account.lost,
        "repeated": account.repeated + account.unknown,
        "wrong_windows": len(wrong),
        "unexplained": ledger["unexplained"] + ledger["unknown"],
        "seconds": round(time.monotonic() - started_s),
        "checked_s": round(time.monotonic() - broken_s),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        "longest_pause_s": max((fault.pause_s for fault in chaos.happened), default=0.0),
        "pauses_s": _by_kind(chaos.happened),
        "duplicates": account.duplicates,
        "late": account.late,
    }


def _by_kind(happened: Sequence[Fault]) -> dict[str, dict[str, float]]:
    pauses: defaultdict[str, list[float]] = defaultdict(list)
    for fault in happened:
        pauses[fault.kind].append(fault.pause_s)
    return {
        kind: {"faults": len(found), "median": round(statistics.median(found), 2), "max": max(found)}
        for kind, found in sorted(pauses.items())
    }
