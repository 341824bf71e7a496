"""Latency at a paced rate: record timestamp to the prediction seen by a read_committed reader."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import orjson

from stream_app.producers.publish import Encoded
from stream_app.transport.log_reader import LogReader
from tests.benchmarks.processes import cpu_s
from tests.kafka.workers import System

WARM_S = 4.0
"""Of a pace, not counted."""
LAST_S = 2.0
"""After the last event, for its answer."""
INPUTS = ("clicks", "searches", "reviews", "voice-transcripts")


async def at_rate(
    system: System, pids: Sequence[int], pending: Iterator[Encoded], rate: int, seconds: float
) -> dict[str, Any]:
    """p50, p99, p99.9 after the first WARM_S, how many never came, and the cores of each process tree of `pids`."""
    settings, seen = system.settings, dict[str, float]()
    reader = LogReader(settings.broker, [(system.names.predictions, p) for p in range(settings.topics.partitions)])
    await reader.start()
    async for _ in reader.to_end():  # of before
        pass
    following = asyncio.create_task(_follow(reader, seen))
    try:
        batch = list(islice(pending, int(rate * (seconds + WARM_S))))
        first_ms, began = time.time_ns() // 1_000_000, cores_since(pids)
        await system.send(batch, f"{rate}/s")
        taken = cores(began, cores_since(pids))
        await asyncio.sleep(LAST_S)
        arrived = await _sent(system, first_ms + int(WARM_S * 1000))
    finally:
        following.cancel()
        await asyncio.wait([following])
        await reader.stop()
    taken_ms = np.array([seen[event] - sent for event, sent in arrived.items() if event in seen])
    p50, p99, p999 = np.percentile(taken_ms, [50, 99, 99.9]).round(1).tolist()
    return {"p50_ms": p50, "p99_ms": p99, "p99.9_ms": p999, "n": len(taken_ms), "cores": taken}


def cores_since(pids: Sequence[int]) -> tuple[float, ...]:
    """Now, monotonic, and the CPU seconds of each tree."""
    return (time.monotonic(), *(cpu_s(pid) for pid in pids))


def cores(began: tuple[float, ...], ended: tuple[float, ...]) -> list[float]:
    """Mean cores of each tree between two `cores_since`."""
    return [round((b - a) / (ended[0] - began[0]), 3) for a, b in zip(began[1:], ended[1:], strict=True)]


async def _follow(reader: LogReader, seen: dict[str, float]) -> None:
    while True:
        records = await reader.fetch(timeout_ms=100)
        now_ms = time.time_ns() / 1e6
        for record in records:
            seen.setdefault(orjson.loads(record.value or b"")["event_id"], now_ms)


async def _sent(system: System, since_ms: int) -> dict[str, int]:
    """Kafka time of every event sent since then; of one sent twice the first."""
    sent: dict[str, int] = {}
    for record in await system.read(*INPUTS):
        if record.timestamp >= since_ms:
            sent.setdefault(orjson.loads(record.value or b"")["event_id"], record.timestamp)
    return sent
