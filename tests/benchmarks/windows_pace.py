"""Latency of work `windows`: clicks at a pace, each timed from its send to a reader of committed outputs."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from stream_app.records import RecordLike
from stream_app.settings import Broker
from stream_app.transport.loader import Loader
from stream_app.transport.log_reader import LogReader, read_all
from tests.benchmarks.processes import cpu_s
from tests.benchmarks.windows_truth import clicks, judge, truth
from tests.benchmarks.windows_turn import Running, System, create_topic

SETTLE_S, WARM_S, LAST_S = 8.0, 3.0, 10.0
TICK_S = 0.002


@dataclass(frozen=True)
class Pace:
    """Latency after WARM_S. `behind`: outputs that had not come LAST_S after the last click: it cannot keep up."""

    rate: int
    p50_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    outputs: int
    wrong: int
    behind: int
    cores: float
    start_cpu_s: float
    """What starting takes, until it waits for the first record."""


async def paced(
    system: System, broker: Broker, *, partitions: int, rate: int, seconds: float, folder: Path, name: str
) -> Pace:
    """Start the system on an empty topic, let it settle, send, read."""
    source, output = f"{name}-source", f"{name}-output"
    for topic in (source, output):
        await create_topic(broker, topic, partitions)
    events = int(rate * (seconds + WARM_S))
    cpu = 0.0
    running = Running(system, broker, source=source, output=output, name=name, folder=folder)
    reader = LogReader(broker, [(output, p) for p in range(partitions)])
    await reader.start()
    arrived: list[tuple[float, list[RecordLike]]] = []
    following = asyncio.create_task(_follow(reader, arrived))
    try:
        await asyncio.sleep(SETTLE_S)
        began, cpu = time.monotonic(), cpu_s(running.pid)
        sent_ms = await _send(broker, source, events, rate)
        cores = (cpu_s(running.pid) - cpu) / (time.monotonic() - began)
        for _ in range(int(LAST_S / 0.1)):
            if sum(len(records) for _, records in arrived) >= events:
                break
            await asyncio.sleep(0.1)
    finally:
        following.cancel()
        await asyncio.wait([following])
        await reader.stop()
        running.stop()
    outputs = [record for _, records in arrived for record in records]
    expected = truth(await read_all(broker, [(source, p) for p in range(partitions)]))
    behind = max(events - len(outputs), 0)
    verdict = judge(expected, outputs, complete=not behind)
    first = int(rate * WARM_S)
    numbers = [(int(orjson.loads(r.value or b"")["event_id"][1:]), at_ms) for at_ms, rs in arrived for r in rs]
    taken_ms = np.array([at_ms - sent_ms[number] for number, at_ms in numbers if number >= first])
    late = events - first - len(taken_ms)
    p50, p99, p999 = _percentiles(taken_ms, late)
    return Pace(rate, p50, p99, p999, len(outputs), verdict.wrong, behind, round(cores, 3), cpu)


def _percentiles(taken_ms: np.ndarray, behind: int) -> list[float | None]:  # type: ignore[type-arg]
    """50, 99 and 99.9 %, where what never came is slower than all; None where the percentile never came."""
    every = np.sort(np.concatenate([taken_ms, np.full(max(behind, 0), np.inf)]))
    found = [every[min(int(len(every) * share), len(every) - 1)] for share in (0.5, 0.99, 0.999)]
    return [round(float(one), 1) if np.isfinite(one) else None for one in found]


async def _send(broker: Broker, source: str, events: int, rate: int) -> list[float]:
    """Send when due; returns the time of each event's send, epoch milliseconds."""
    loader = Loader(broker)
    await loader.start()
    pending = clicks(source, events, first_ms=time.time_ns() // 1_000_000, span_ms=events * 1000 // rate)
    records = list(pending)
    sent_ms: list[float] = []
    began_s = time.monotonic()
    flying: set[asyncio.Task[None]] = set()
    try:
        while len(sent_ms) < events:
            due = min(int((time.monotonic() - began_s) * rate), events)
            if due > len(sent_ms):
                await asyncio.gather(*flying)  # one at a time keeps each user's order
                batch = records[len(sent_ms) : due]
                sent_ms += [time.time_ns() / 1e6] * len(batch)
                flying = {asyncio.create_task(loader.send(batch))}
            await asyncio.sleep(TICK_S)
        await asyncio.gather(*flying)
    finally:
        await loader.stop()
    return sent_ms


async def _follow(reader: LogReader, arrived: list[tuple[float, list[RecordLike]]]) -> None:
    while True:
        records = await reader.fetch(timeout_ms=100)
        if records:
            arrived.append((time.time_ns() / 1e6, records))
