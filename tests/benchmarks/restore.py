"""Work `state`: a worker that holds many users is killed; how long it takes to have them back, and what they take."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson

from stream_app.broker import EmbeddedBroker
from stream_app.demo.stack import WorkerProcess, worker_environment
from stream_app.models.life import load_configured
from stream_app.models.memory import held_dtype
from stream_app.outputs.topics import TopicNames
from stream_app.records import OutputRecord
from stream_app.settings import Settings
from stream_app.state import ACCEPTED, StateSettings, TaskState
from stream_app.transport.transaction import TaskProducer
from stream_app.worker.routing import partition_of
from tests.benchmarks.full import scraped
from tests.benchmarks.processes import Watch
from tests.benchmarks.state import RATE, START_MS, stream
from tests.kafka.workers import System, kill, settings_for, until, url_of

BATCH = 20_000
INPUTS = 5


def state(*, users: int, partitions: int) -> dict[str, Any]:
    """Figures of one run: a changelog is written, then read by a worker whose disk is empty, then by one that has its
    checkpoint."""
    with TemporaryDirectory() as folder, EmbeddedBroker(partitions=partitions) as broker:
        settings = settings_for(broker.url, "state.", Path(folder), partitions=partitions)
        system = System(settings, Path(folder))
        asyncio.run(system.create_topics())
        log_bytes, sizes = asyncio.run(_fill(settings, users))
        more = {
            "STATE__CHECKPOINT_S": "3",
            "STATE__IDLE_INPUT_MS": "3600000",
            "STATE__USER_TTL_MS": str(3_650 * 86_400_000),
        }
        worker = WorkerProcess(Path(folder) / "worker.log", worker_environment(settings, **more))
        worker.start()
        assert worker.process is not None
        try:
            with Watch([worker.process.pid]) as watch:
                empty = asyncio.run(_restored(worker, partitions, turn=0))
                asyncio.run(until(lambda: len(said(worker, "checkpoint")) >= partitions, deadline_s=600))
                written = said(worker, "checkpoint")[:partitions]
                held = asyncio.run(_held(worker))
                killed_s = time.time()
                asyncio.run(kill(worker))
                saved = asyncio.run(_restored(worker, partitions, turn=1))
                back_s = time.time() - killed_s
        finally:
            worker.stop()
    assert empty["users"] == saved["users"] == users, (empty, saved)
    return {
        "users": users,
        "users_with_open_windows": sizes,
        "bytes_per_user": {
            "memory": round(held / users),
            "changelog": round(log_bytes / users),
            "checkpoint": round(sum(one["bytes"] for one in written) / users),
        },
        "restore_s": {"empty_disk": empty["seconds"], "checkpoint": saved["seconds"]},
        "records_read": {"empty_disk": empty["records"], "checkpoint": saved["records"]},
        "from_kill_to_ready_s": round(back_s, 2),
        "checkpoint": {
            "seconds": max(one["seconds"] for one in written),
            "longest_pause_ms": max(one["longest_pause_ms"] for one in written),
        },
        "peak_mib": round(watch.peak_mib[0]),
    }


async def _fill(settings: Settings, users: int) -> tuple[int, int]:
    """Every user does something, partition after partition; bytes of the users' values, and users with windows."""
    scorer = load_configured(settings).scorer
    names, partitions = TopicNames(settings.topics.prefix), settings.topics.partitions
    now_ms = time.time_ns() // 1_000_000
    homes: list[list[bytes]] = [[] for _ in range(partitions)]
    for number in range(users):
        user = b"user-%d" % number
        homes[partition_of(user, partitions)].append(user)
    total = active = 0
    for partition, mine in enumerate(homes):
        task = TaskState(
            StateSettings(**settings.state.model_dump()),
            carried=held_dtype(scorer.carried_dtype),
            history=scorer.history,
            inputs=INPUTS,
        )
        producer = TaskProducer(settings.broker, group=settings.pipeline.name, partition=partition)
        await producer.start()
        try:
            for first in range(0, len(mine), BATCH):
                chosen = mine[first : first + BATCH]
                piece = stream(np.random.default_rng(first), events=len(chosen), users=len(chosen))
                piece.user[:] = chosen
                piece.event_time_ms[:] += now_ms - START_MS - (len(mine) - first) * 1000 // RATE
                judged = task.admit(piece, now_ms)
                assert (judged.verdict == ACCEPTED).all()
                for segment in judged.segments:
                    task.close(segment.watermark_ms)
                    accepted = piece.take(segment.index)
                    task.features(accepted, task.update(accepted))
                task.close()
                task.open_windows()
                changes = task.changes()
                total += sum(len(value or b"") for _, value in changes)
                packed = producer.pack(OutputRecord(names.state, key, value) for key, value in changes)
                await producer.commit(packed, {})
        finally:
            await producer.stop()
        active += int((task.columns(0, task.row_count)[1].head["windows"] > 0).sum())
    return total, active


async def _restored(worker: WorkerProcess, partitions: int, *, turn: int) -> dict[str, Any]:
    """What the worker says of its restores, of that turn; the slowest task's seconds."""

    def done() -> list[dict[str, Any]] | None:
        worker.check()
        found = said(worker, "restored")
        return found[turn * partitions :] if len(found) >= (turn + 1) * partitions else None

    told = await until(done, deadline_s=600)
    assert all(one["checkpoint"] == bool(turn) for one in told), told
    return {
        "seconds": round(max(one["seconds"] for one in told), 2),
        "users": sum(one["users"] for one in told),
        "records": sum(one["records"] for one in told),
    }


async def _held(worker: WorkerProcess) -> float:
    """Bytes of state that the worker reports, all tasks."""
    url = await until(lambda: url_of(worker), deadline_s=120)

    def told() -> float:
        return sum(value for (name, _), value in scraped(url).items() if name == "behavior_state_bytes")

    size: float = await until(told, deadline_s=60)
    return size


def said(worker: WorkerProcess, message: str) -> list[dict[str, Any]]:
    """Lines of its log with that message."""
    lines = worker.log_file.read_text().splitlines()
    return [orjson.loads(line) for line in lines if f'"message":"{message}"' in line]
