"""Work `full`: all four topics, state, fused inference, recommendations, every output; one worker drains a backlog and
then keeps a pace. The peer has the same model in a loop by hand."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from stream_app.broker import EmbeddedBroker
from stream_app.demo.stack import WorkerProcess, worker_environment
from stream_app.metrics import STAGES
from stream_app.producers.account import account
from stream_app.producers.publish import Encoded, encode
from stream_app.producers.replay import replay
from stream_app.producers.simulate import simulate
from stream_app.records import RecordLike
from stream_app.transport.log_reader import read_all
from tests.benchmarks.pacing import INPUTS, WARM_S, at_rate
from tests.benchmarks.processes import Watch
from tests.kafka.workers import System, settings_for, until, url_of

DAY_MS = 86_400_000
WARM = 0.1
"""Share of the events that is left out of the figures at the beginning: caches fill, connections open."""
OUTPUTS = ("predictions", "late-events", "dead-letters")


def stream(
    source: str, data: Path | None, *, events: int, users: int = 2_000, products: int = 10_000
) -> Iterator[Encoded]:
    """What is sent: simulated shoppers of the last weeks, or a recorded source."""
    if source == "simulator":
        start_ms = time.time_ns() // 1_000_000 - 30 * DAY_MS
        records = simulate(users=users, seed=1, start_ms=start_ms, events=events, products=products)
    else:
        folder = data or Path(os.environ["STREAM_APP_TEST_DATA"])
        records = replay(source, folder, limit=events)
    return (encode(kind, record) for kind, record in records)


@dataclass
class LoopProcess(WorkerProcess):
    """The same work by hand: see peers/aiokafka_full.py."""

    def start(self) -> None:
        """Start it."""
        script = Path(__file__).parent / "peers" / "aiokafka_full.py"
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, str(script)], env=self.environment, stdout=log, stderr=log)


def full(
    *, events: int, source: str, data: Path | None, partitions: int, rate: int, seconds: float, peers: bool
) -> dict[str, dict[str, Any]]:
    """Figures of us and of the loop by hand, each on topics of its own: a backlog, then `rate` events/s for so long."""
    with TemporaryDirectory() as folder, EmbeddedBroker(partitions=partitions) as broker:
        assert broker.pid is not None
        found = {}
        for name in ("ours", "aiokafka_loop") if peers else ("ours",):
            place = Path(folder) / name
            place.mkdir()
            settings = settings_for(broker.url, f"{name}.", place, partitions=partitions)
            system = System(settings, place)
            environment = worker_environment(settings) | {
                "BENCH_BROKER": broker.url, "BENCH_NAME": name, "BENCH_PREFIX": settings.topics.prefix,
            }  # fmt: skip
            kind = WorkerProcess if name == "ours" else LoopProcess
            worker = kind(place / "worker.log", environment)
            pending = stream(source, data, events=events + int(rate * (seconds + WARM_S)))
            found[name] = asyncio.run(_turn(system, worker, broker.pid, pending, events, rate, seconds))
        return found


async def _turn(
    system: System,
    worker: WorkerProcess,
    broker_pid: int,
    pending: Iterator[Encoded],
    events: int,
    rate: int,
    seconds: float,
) -> dict[str, Any]:
    await system.create_topics()
    sent = await system.send(islice(pending, events))
    expected = account(await read(system, INPUTS), []).accepted
    started_s = time.time()
    worker.start()
    assert worker.process is not None
    pids = (worker.process.pid, broker_pid)
    try:
        with Watch(pids) as watch:
            await _answered(system, worker, expected)
            steps = {} if _is_loop(worker) else await _drained(worker, sent)
        backlog = await read(system, OUTPUTS)
        pace = await at_rate(system, pids, pending, rate, seconds) if seconds else {}
    finally:
        worker.stop()
    result = account(await read(system, INPUTS), await read(system, OUTPUTS))
    made_s = np.sort(np.array([record.timestamp for record in backlog])) / 1000
    begin = int(len(made_s) * WARM)
    from_s, until_s, counted = made_s[begin], made_s[-1] + 0.05, len(made_s) - begin
    cpu_us = watch.cpu_s(0, from_s, until_s) / counted * 1e6
    figures: dict[str, Any] = {
        "cpu_us_per_event": round(cpu_us, 1),
        "events_per_s": round(counted / (until_s - from_s)),
        "p50_ms": pace.get("p50_ms"),
        "p99_ms": pace.get("p99_ms"),
        "p99.9_ms": pace.get("p99.9_ms"),
        "peak_mib": round(watch.peak_mib[0]),
        "wrong": result.lost + result.repeated + result.unknown,
        "broker_cpu_us_per_event": round(watch.cpu_s(1, from_s, until_s) / counted * 1e6, 1),
        "cores": round(watch.cpu_s(0, from_s, until_s) / (until_s - from_s), 2),
        "first_output_s": round(float(made_s[0]) - started_s, 2),
        "events": sent,
        "predictions": result.predictions,
        "balanced": result.balanced,
        "guarantee": "at least once; its state dies with it" if _is_loop(worker) else "exactly once",
    }
    if steps:
        figures["events_per_transaction"] = round(sent / steps.pop("transactions")[1])
        us = {name: round(1e6 * cpu / max(n, 1), 1) for name, (cpu, n) in steps.items()}
        figures["steps_us_per_event"] = {**us, "transport": round(cpu_us - sum(us.values()), 1)}
    return figures


def _is_loop(worker: WorkerProcess) -> bool:
    return isinstance(worker, LoopProcess)


async def _answered(system: System, worker: WorkerProcess, expected: int) -> None:
    """Wait for so many predictions, by asking the broker: the worker's metrics take 25 ms of its CPU to write."""

    async def enough() -> bool:
        worker.check()
        return await _written(system, "predictions") >= expected

    await until(enough, deadline_s=1200, every_s=1.0)


async def _written(system: System, topic: str) -> int:
    """Records on a topic, and the marks of transactions."""
    consumer = AIOKafkaConsumer(bootstrap_servers=system.settings.broker.url)
    await consumer.start()
    try:
        partitions = [TopicPartition(system.names[topic], p) for p in range(system.settings.topics.partitions)]
        return sum((await consumer.end_offsets(partitions)).values())
    finally:
        await consumer.stop()


async def _drained(worker: WorkerProcess, sent: int) -> dict[str, tuple[float, float]]:
    """Wait until every input has a verdict; CPU seconds and events of each stage."""
    url = await until(lambda: url_of(worker), deadline_s=120)

    def done() -> dict[tuple[str, str], float] | None:
        worker.check()
        found = scraped(url)
        verdicts = sum(n for (name, _), n in found.items() if name == "behavior_verdicts_total")
        return found if verdicts >= sent else None

    found = await until(done, deadline_s=1200, every_s=1.0)
    steps = {
        stage: (found["behavior_stage_cpu_seconds_total", stage], found["behavior_stage_events_total", stage])
        for stage in STAGES
        if found["behavior_stage_events_total", stage]
    }
    return steps | {"transactions": (0.0, found["behavior_transactions_total", ""])}


def scraped(url: str) -> dict[tuple[str, str], float]:
    """Samples by name and label values."""
    with urllib.request.urlopen(f"{url.rstrip('/')}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return {
            (sample.name, " ".join(sample.labels.values())): sample.value
            for family in families
            for sample in family.samples
        }


async def read(system: System, topics: tuple[str, ...]) -> list[RecordLike]:
    """Everything committed on the topics (names without prefix)."""
    partitions = system.settings.topics.partitions
    return await read_all(
        system.settings.broker, [(system.names[topic], p) for topic in topics for p in range(partitions)]
    )
