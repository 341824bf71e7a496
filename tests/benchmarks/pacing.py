"""Latency at a paced rate: record timestamp to the prediction seen by a read_committed reader."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

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
    """p50, p99, p99.9, how many came, and the cores of each process tree of `pids`, all after the first WARM_S."""
    taken: list[tuple[float, ...]] = []
    batch = list(islice(pending, int(rate * (seconds + WARM_S))))

    def take() -> None:
        taken.append(cores_since(pids))

    took_ms = await answered(system, batch, rate, warmed=take, sent=take)
    return percentiles(np.array(list(took_ms.values()))) | {"n": len(took_ms), "cores": cores(*taken)}


def percentiles(took_ms: NDArray[np.float64]) -> dict[str, float]:
    """Milliseconds by name."""
    return dict(zip(("p50_ms", "p99_ms", "p99.9_ms"), np.percentile(took_ms, [50, 99, 99.9]).round(1), strict=True))


async def answered(
    system: System,
    batch: Sequence[Encoded],
    rate: int,
    *,
    warmed: Callable[[], object] = lambda: None,
    sent: Callable[[], object] = lambda: None,
) -> dict[str, float]:
    """Milliseconds from Kafka's time of each event sent after the first WARM_S to its prediction, by event id.

    `warmed` is called WARM_S after the first event, `sent` after the last.
    """
    settings, seen = system.settings, dict[str, float]()
    reader = LogReader(settings.broker, [(system.names.predictions, p) for p in range(settings.topics.partitions)])
    await reader.start()
    async for _ in reader.to_end():  # of before
        pass
    following = asyncio.create_task(_follow(reader, seen))
    try:
        first_ms = time.time_ns() // 1_000_000
        asyncio.get_running_loop().call_later(WARM_S, warmed)
        await system.send(batch, f"{rate}/s")
        sent()
        await asyncio.sleep(LAST_S)
        arrived = await _sent(system, first_ms + int(WARM_S * 1000))
    finally:
        following.cancel()
        await asyncio.wait([following])
        await reader.stop()
    return {event: seen[event] - sent_ms for event, sent_ms in arrived.items() if event in seen}


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
