"""Work `full`: all four topics, state, fused inference, recommendations, every output; one worker drains a backlog."""

from __future__ import annotations

import asyncio
import os
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
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
from tests.benchmarks.processes import Watch
from tests.kafka.workers import System, settings_for, until, url_of

DAY_MS = 86_400_000
WARM = 0.1
"""Share of the events that is left out of the figures at the beginning: caches fill, connections open."""
OUTPUTS = ("predictions", "late-events", "dead-letters")
INPUTS = ("clicks", "searches", "reviews", "voice-transcripts")


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


def full(*, events: int, source: str, data: Path | None, partitions: int) -> dict[str, Any]:
    """Figures of one run."""
    with TemporaryDirectory() as folder, EmbeddedBroker(partitions=partitions) as broker:
        settings = settings_for(broker.url, "full.", Path(folder), partitions=partitions)
        system = System(settings, Path(folder))
        asyncio.run(system.create_topics())
        sent = asyncio.run(system.send(stream(source, data, events=events)))
        worker = WorkerProcess(Path(folder) / "worker.log", worker_environment(settings))
        started_s = time.time()
        worker.start()
        assert worker.process is not None
        assert broker.pid is not None
        try:
            with Watch([worker.process.pid, broker.pid]) as watch:
                metrics = asyncio.run(_drained(worker, sent))
        finally:
            worker.stop()
        outputs = asyncio.run(_read(system, OUTPUTS))
        result = account(asyncio.run(_read(system, INPUTS)), outputs)
    made_s = np.sort(np.array([record.timestamp for record in outputs])) / 1000
    begin = int(len(made_s) * WARM)
    from_s, until_s, counted = made_s[begin], made_s[-1] + 0.05, len(made_s) - begin
    cpu_us = watch.cpu_s(0, from_s, until_s) / counted * 1e6
    steps = {name: 1e6 * cpu / max(n, 1) for name, (cpu, n) in metrics.items()}
    return {
        "cpu_us_per_event": round(cpu_us, 1),
        "events_per_s": round(counted / (until_s - from_s)),
        "peak_mib": round(watch.peak_mib[0]),
        "wrong": result.lost + result.repeated + result.unknown,
        "broker_cpu_us_per_event": round(watch.cpu_s(1, from_s, until_s) / counted * 1e6, 1),
        "cores": round(watch.cpu_s(0, from_s, until_s) / (until_s - from_s), 2),
        "first_output_s": round(float(made_s[0]) - started_s, 2),
        "steps_us_per_event": {
            **{name: round(us, 1) for name, us in steps.items()},
            "transport": round(cpu_us - sum(steps.values()), 1),
        },
        "events": sent,
        "predictions": result.predictions,
        "balanced": result.balanced,
    }


async def _drained(worker: WorkerProcess, sent: int) -> dict[str, tuple[float, float]]:
    """Wait until every input has a verdict; CPU seconds and events of each stage."""
    url = await until(lambda: url_of(worker), deadline_s=120)

    def done() -> dict[tuple[str, str], float] | None:
        worker.check()
        found = scraped(url)
        verdicts = sum(n for (name, _), n in found.items() if name == "behavior_verdicts_total")
        return found if verdicts >= sent else None

    found = await until(done, deadline_s=1200, every_s=1.0)
    return {
        stage: (found["behavior_stage_cpu_seconds_total", stage], found["behavior_stage_events_total", stage])
        for stage in STAGES
        if found["behavior_stage_events_total", stage]
    }


def scraped(url: str) -> dict[tuple[str, str], float]:
    """Samples by name and label values."""
    with urllib.request.urlopen(f"{url.rstrip('/')}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return {
            (sample.name, " ".join(sample.labels.values())): sample.value
            for family in families
            for sample in family.samples
        }


async def _read(system: System, topics: tuple[str, ...]) -> list[RecordLike]:
    partitions = system.settings.topics.partitions
    return await read_all(
        system.settings.broker, [(system.names[topic], p) for topic in topics for p in range(partitions)]
    )
