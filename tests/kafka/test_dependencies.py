"""A broken dependency is never a bad record: the worker pauses, says so, and goes on by itself."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_app.broker import EmbeddedBroker
from stream_app.demo.stack import WorkerProcess
from stream_app.models.artefact import ARTEFACT
from stream_app.producers.publish import Encoded, encode
from stream_app.producers.simulate import simulate
from stream_app.records import OutputRecord
from stream_app.transport import admin
from stream_app.transport.transaction import AWAY_S, TaskProducer
from tests.kafka.workers import System, get, settings_for, until, url_of

START_MS = 1_700_000_000_000
SLOW_S = 120.0


def shoppers(events: int, *, seed: int = 3) -> list[Encoded]:
    return [encode(*one) for one in simulate(users=40, seed=seed, start_ms=START_MS, events=events, images=False)]


def reasons(worker: WorkerProcess) -> list[str] | None:
    """Why the worker is not ready, [] when it is; None while it does not answer."""
    url = url_of(worker)
    if url is None:
        return None
    try:
        status, body = get(f"{url}/readyz")
    except OSError:
        return None
    found: list[str] = orjson.loads(body)["reasons"]
    assert (status == 200) == (not found)
    return found


async def waits_for(worker: WorkerProcess, what: str) -> None:
    await until(lambda: any(one.startswith(f"{what}: ") for one in reasons(worker) or ()), deadline_s=SLOW_S)


async def ready(worker: WorkerProcess) -> None:
    await until(lambda: reasons(worker) == [], deadline_s=SLOW_S)


async def nothing_was_refused_or_lost(system: System) -> None:
    account = await system.account()
    assert account.balanced
    assert account.dead_letters == 0
    assert account.predictions > 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which a test can fill."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("may not mount a small file system here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take what room there is; remove the file to make room again."""
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return filler


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


async def test_a_worker_waits_for_its_model(broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path) -> None:
    model = tmp_path / "ours.safetensors"
    system = System(settings_for(broker.url, topic_prefix, tmp_path), tmp_path, {"MODEL__PATH": str(model)})
    await system.create_topics()
    await system.send(shoppers(300))
    worker = system.start_worker()
    try:
        await waits_for(worker, "model")
        assert await system.predictions() == 0
        shutil.copy(ARTEFACT, model.with_suffix(".new"))
        os.replace(model.with_suffix(".new"), model)
        await ready(worker)
        await nothing_was_refused_or_lost(system)
        model.unlink()  # it is in memory
        await system.send(shoppers(300, seed=4))
        await nothing_was_refused_or_lost(system)
        assert "worker ended" not in worker.log_file.read_text()
    finally:
        await asyncio.to_thread(system.stop)


async def test_a_worker_waits_for_room_on_its_disk_and_works_on_when_it_is_full(
    broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path, small_disk: Path
) -> None:
    system = System(settings_for(broker.url, topic_prefix, tmp_path), tmp_path, {"DATA_DIR": str(small_disk)})
    await system.create_topics()
    remount(small_disk, "nr_inodes=1")
    worker = system.start_worker()
    try:
        await waits_for(worker, "disk")
        remount(small_disk, "nr_inodes=1000")
        await ready(worker)
        fill(small_disk)
        await system.send(shoppers(300))
        await nothing_was_refused_or_lost(system)
        assert "worker ended" not in worker.log_file.read_text()
    finally:
        await asyncio.to_thread(system.stop)


async def test_a_worker_says_that_its_broker_is_away_and_goes_on_when_it_is_back(
    own_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    system = System(settings_for(own_broker.url, "away.", tmp_path), tmp_path)
    await system.create_topics()
    worker = system.start_worker()
    try:
        await ready(worker)
        own_broker.kill()
        await waits_for(worker, "broker")
        await asyncio.to_thread(own_broker.start)
        await ready(worker)
        await system.send(shoppers(300))
        await nothing_was_refused_or_lost(system)
    finally:
        await asyncio.to_thread(system.stop)


async def test_a_producer_leaves_a_broker_that_is_away_time_to_start(
    own_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    settings = settings_for(own_broker.url, "quiet.", tmp_path)
    names = System(settings, tmp_path).names
    await admin.create(settings.broker, [admin.TopicPlan(names.predictions, 1, 1, {})])
    producer = TaskProducer(settings.broker, group="quiet", partition=0)
    await producer.start()
    packed = producer.pack([OutputRecord(names.predictions, b"u", b"1")])
    own_broker.kill()
    asked, send = [], producer._producer.client.send

    async def counting(*given: Any, **more: Any) -> Any:
        asked.append(time.monotonic())
        return await send(*given, **more)

    producer._producer.client.send = counting
    committing = asyncio.create_task(producer.commit(packed, {(names.predictions, 0): 1}))
    await asyncio.sleep(2)
    assert 2 <= len(asked) <= 2 * 2 / AWAY_S
    await asyncio.to_thread(own_broker.start)
    places = await committing
    assert places == {(names.predictions, 0): 0}
    await producer.stop()


async def test_a_broker_whose_disk_was_full_is_waited_for(tmp_path: Path, small_disk: Path) -> None:
    with EmbeddedBroker(small_disk / "broker") as broker:
        system = System(settings_for(broker.url, "full.", tmp_path), tmp_path)
        await system.create_topics()
        worker = system.start_worker()
        try:
            await ready(worker)
            await system.send(shoppers(300))
            filler = fill(small_disk)
            await until(lambda: not broker.alive(), deadline_s=SLOW_S)  # Kafka ends when its last log folder fails
            await waits_for(worker, "broker")
            filler.unlink()
            broker.stop()
            await asyncio.to_thread(broker.start)
            await ready(worker)
            await system.send(shoppers(300, seed=4))
            await nothing_was_refused_or_lost(system)
        finally:
            await asyncio.to_thread(system.stop)
