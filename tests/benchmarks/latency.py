"""Latency at a paced rate: record timestamp to the prediction seen by a read_committed reader; CPU idle and busy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson

from stream_app.broker import EmbeddedBroker
from stream_app.demo.stack import WorkerProcess, worker_environment
from stream_app.producers.account import account
from stream_app.records import RecordLike
from stream_app.transport.log_reader import LogReader, read_all
from tests.benchmarks.full import INPUTS, OUTPUTS, stream
from tests.benchmarks.processes import cpu_s
from tests.kafka.workers import System, settings_for, until

IDLE_S, WARM_S = 8.0, 4.0
Seen = dict[str, float]


def latency(*, rates: Sequence[int], seconds: float, partitions: int) -> dict[str, Any]:
    """p50, p99, p99.9 per rate after the first WARM_S, and the cores that worker and broker take."""
    with TemporaryDirectory() as folder, EmbeddedBroker(partitions=partitions) as broker:
        settings = settings_for(broker.url, "latency.", Path(folder), partitions=partitions)
        system = System(settings, Path(folder))
        asyncio.run(system.create_topics())
        worker = WorkerProcess(Path(folder) / "worker.log", worker_environment(settings))
        worker.start()
        assert worker.process is not None
        assert broker.pid is not None
        try:
            return asyncio.run(_measure(system, worker, (worker.process.pid, broker.pid), rates, seconds))
        finally:
            worker.stop()


async def _measure(
    system: System, worker: WorkerProcess, pids: tuple[int, int], rates: Sequence[int], seconds: float
) -> dict[str, Any]:
    await until(lambda: '"assigned"' in worker.log_file.read_text(), deadline_s=120)
    await asyncio.sleep(3)
    began = _now(pids)
    await asyncio.sleep(IDLE_S)
    figures: dict[str, Any] = {"idle_cores": _cores(began, _now(pids))}
    pending = stream("simulator", None, events=int(sum(rates) * (seconds + WARM_S)))
    seen: Seen = {}
    settings, names = system.settings, system.names
    reader = LogReader(settings.broker, [(names.predictions, p) for p in range(settings.topics.partitions)])
    await reader.start()
    following = asyncio.create_task(_follow(reader, seen))
    for rate in rates:
        began = _now(pids)
        batch = [next(pending) for _ in range(int(rate * (seconds + WARM_S)))]
        first_ms = time.time_ns() // 1_000_000
        await system.send(batch, f"{rate}/s")
        cores = _cores(began, _now(pids))
        await asyncio.sleep(2)
        arrived = await _sent(system, first_ms + int(WARM_S * 1000))
        taken_ms = np.array([seen[event] - sent for event, sent in arrived.items() if event in seen])
        p50, p99, p999 = np.percentile(taken_ms, [50, 99, 99.9]).round(1).tolist()
        figures[f"{rate}/s"] = {"p50_ms": p50, "p99_ms": p99, "p99.9_ms": p999, "n": len(taken_ms), **cores}
    following.cancel()
    await asyncio.wait([following])
    await reader.stop()
    result = account(await _read(system, INPUTS), await _read(system, OUTPUTS))
    return {**figures, "wrong": result.lost + result.repeated + result.unknown}


async def _follow(reader: LogReader, seen: Seen) -> None:
    while True:
        records = await reader.fetch(timeout_ms=100)
        now_ms = time.time_ns() / 1e6
        for record in records:
            seen.setdefault(orjson.loads(record.value or b"")["event_id"], now_ms)


async def _sent(system: System, since_ms: int) -> dict[str, int]:
    """Kafka time of every event sent since then; of one sent twice the first."""
    sent: dict[str, int] = {}
    for record in await _read(system, INPUTS):
        if record.timestamp >= since_ms:
            sent.setdefault(orjson.loads(record.value or b"")["event_id"], record.timestamp)
    return sent


async def _read(system: System, topics: Sequence[str]) -> list[RecordLike]:
    partitions = system.settings.topics.partitions
    return await read_all(
        system.settings.broker, [(system.names[topic], p) for topic in topics for p in range(partitions)]
    )


def _now(pids: tuple[int, int]) -> tuple[float, ...]:
    return (time.monotonic(), *(cpu_s(pid) for pid in pids))


def _cores(began: tuple[float, ...], ended: tuple[float, ...]) -> dict[str, float]:
    taken_s = ended[0] - began[0]
    return {
        "worker": round((ended[1] - began[1]) / taken_s, 3),
        "broker": round((ended[2] - began[2]) / taken_s, 3),
    }
