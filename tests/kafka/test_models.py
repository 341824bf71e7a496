"""Models change under running workers on a real broker: nothing pauses, mixes, repeats or is lost."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_app.audit.run import audit, parity
from stream_app.broker import EmbeddedBroker
from stream_app.demo.stack import WorkerProcess, worker_environment
from stream_app.models import change as changes
from stream_app.models import orders
from stream_app.models.artefact import RefusedError
from stream_app.models.change import Artefact, ModelChange
from stream_app.producers.publish import Encoded, encode
from stream_app.producers.simulate import simulate
from tests.kafka.workers import QUICK, System, get, kill, settings_for, until, url_of
from tests.stream_app.models.variants import foolish, other_heads, variant

START_MS = 1_700_000_000_000
PARTITIONS = 2


@pytest.fixture
def system(broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path) -> Iterator[System]:
    settings = settings_for(broker.url, topic_prefix, tmp_path, partitions=PARTITIONS)
    running = System(settings, tmp_path, {"MODEL__RETURN_AFTER": "150", "MODEL__RETURN_MARGIN": "0.5"})
    yield running
    running.stop()


def shelf(system: System) -> Path:
    return system.folder / "models"


def shoppers(events: int, *, seed: int = 3) -> list[Encoded]:
    return [encode(*one) for one in simulate(users=60, seed=seed, start_ms=START_MS, events=events, images=False)]


async def made(system: System) -> dict[int, list[dict[str, Any]]]:
    """Predictions of each partition in order."""
    found: dict[int, list[dict[str, Any]]] = {partition: [] for partition in range(PARTITIONS)}
    for record in sorted(await system.read("predictions"), key=lambda one: one.offset):
        found[record.partition].append(orjson.loads(record.value or b""))
    return found


def counted(worker: WorkerProcess, name: str) -> dict[str, float]:
    """Samples of a metric by their labels, as a worker shows them."""
    url = url_of(worker)
    if url is None:
        return {}
    lines = get(f"{url}/metrics")[1].decode().splitlines()
    found = [line.rpartition(" ") for line in lines if line.startswith(name)]
    return {labels.removeprefix(name): float(value) for labels, _, value in found}


def serving(worker: WorkerProcess) -> str:
    """Digest of the model that a worker says it serves with."""
    (labels,) = counted(worker, "behavior_model_info") or {"": 0.0}
    return labels.partition('digest="')[2].partition('"')[0]


async def ready(worker: WorkerProcess) -> None:
    await until(lambda: '"assigned"' in worker.log_file.read_text(), deadline_s=90)


async def test_a_model_is_swapped_under_load_without_a_mixed_batch_or_a_loss(system: System) -> None:
    system.more["MODEL__RETURNS"] = "false"  # the new one may do worse on the few events after a late swap
    await system.create_topics()
    worker = system.start_worker()
    await ready(worker)
    old, new = serving(worker), variant(shelf(system), "heads", other_heads)
    stream, sent = shoppers(20_000), 300
    await system.send(stream[:sent])
    order = asyncio.create_task(asyncio.to_thread(ordered, system, "set", "heads.safetensors", "--json"))
    while serving(worker) != new.digest:
        assert sent < len(stream), "the model was not swapped in time"
        await system.send(stream[sent : sent + 100], "400/s")
        sent += 100
    await order
    await system.send(stream[sent : sent + 300])
    account = await system.account()

    assert account.balanced
    for predictions in (await made(system)).values():
        digests = [one["model"]["digest"] for one in predictions]
        assert set(digests) == {old, new.digest}
        assert sum(a != b for a, b in pairwise(digests)) == 1, "once new, never old again"
        batches: dict[str, set[str]] = {}
        for one in predictions:
            batches.setdefault(one["processed_at"], set()).add(one["model"]["digest"])
        assert all(len(models) == 1 for models in batches.values())
    assert [(await audit(system.settings))[name] for name in ("unexplained", "repeated", "unknown")] == [0, 0, 0]
    assert [(await parity(system.settings))[name] for name in ("mismatch", "missing", "extra")] == [0, 0, 0]

    await kill(worker)
    second = system.start_worker()
    await until(lambda: serving(second) == new.digest, deadline_s=90)
    await until(lambda: worker.log_file.read_text().count('"assigned"') > 1 and serving(worker) == new.digest)
    back = orjson.loads(await asyncio.to_thread(ordered, system, "return", "--json"))
    assert back["digest"] == old
    await until(lambda: serving(second) == serving(worker) == old)


def ordered(system: System, *arguments: str, fails: bool = False) -> bytes:
    """What `stream-app model` prints."""
    command = [sys.executable, "-m", "stream_app", "model", *arguments]
    environment = worker_environment(system.settings)
    done = subprocess.run(command, env=environment, capture_output=True, timeout=120)
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr if fails else done.stdout


async def test_a_broken_artefact_is_refused_by_the_command_and_by_the_workers(system: System) -> None:
    await system.create_topics()
    worker = system.start_worker()
    await ready(worker)
    old = serving(worker)
    shelf(system).mkdir()
    (shelf(system) / "pickled.safetensors").write_bytes(b"\x80\x04K\x01.")
    forgetful = variant(shelf(system), "forgetful", history=16)
    line = await asyncio.to_thread(ordered, system, "set", "pickled.safetensors", fails=True)
    assert line.decode().startswith("stream-app: pickled.safetensors: ")
    assert line.count(b"\n") == 1
    with pytest.raises(RefusedError, match="history 16"):
        await orders.set_model(system.settings, forgetful.path)
    assert (await orders.present(system.settings)).position == -1, "nothing was sent"

    pickled = Artefact(digest=orders.artefacts(system.settings)[-1]["digest"], path="pickled.safetensors")
    gone, lied = (Artefact(digest="0" * 64, path=path) for path in ("gone.safetensors", forgetful.path))
    outside = Artefact(digest="0" * 64, path="../../secret.safetensors")
    for broken in (gone, lied, outside, pickled, forgetful):
        await orders.send(system.settings, ModelChange(digest=broken.digest, path=broken.path))
    wanted = dict.fromkeys(("missing", "digest", "path", "artefact", "layout"), 1.0)

    def refused() -> bool:
        found = counted(worker, "behavior_model_refused_total")
        return {name: found[f'{{reason="{name}"}}'] for name in wanted} == wanted if found else False

    await until(refused)
    await system.send(shoppers(200))
    assert (await system.account()).balanced
    assert {one["model"]["digest"] for part in (await made(system)).values() for one in part} == {old}
    assert worker.log_file.read_text().count('"model refused') == len(wanted)
    assert worker.log_file.read_text().count('"serving"') == 1, "the worker was started again"


async def test_a_worse_model_is_taken_back_once_though_two_workers_see_it(system: System) -> None:
    await system.create_topics()
    workers = [system.start_worker(), system.start_worker()]
    for worker in workers:
        await ready(worker)
    old = serving(workers[0])
    bad = variant(shelf(system), "foolish", foolish)
    stream = shoppers(6_000)
    await system.send(stream[:2_500])
    await until(lambda: system.predictions(), deadline_s=30)
    assert (await system.account()).balanced
    await orders.set_model(system.settings, bad.path)
    await until(lambda: all(serving(worker) == bad.digest for worker in workers))
    await system.send(stream[2_500:])
    await until(lambda: all(serving(worker) == old for worker in workers), deadline_s=60)
    await asyncio.sleep(2)

    words = [changes.decode(one.value or b"") for one in await system.read("control")]
    assert [(one.digest, one.instead_of is None) for one in words] == [(bad.digest, True), (old, False)]
    assert "log loss of next_action" in words[-1].reason
    assert all(counted(worker, "behavior_model_returns_total") == {"": 1.0} for worker in workers)
    assert (await system.account()).balanced


async def test_a_shadow_on_a_real_broker_is_measured_and_publishes_nothing(system: System) -> None:
    await system.create_topics()
    worker = WorkerProcess(system.folder / "worker-0.log", worker_environment(system.settings, **QUICK, **system.more))
    system.workers.append(worker)
    worker.start()
    await ready(worker)
    old, shadow = serving(worker), variant(shelf(system), "heads", other_heads)
    await asyncio.to_thread(ordered, system, "set", "heads.safetensors", "--shadow", "0.5")
    await until(lambda: '"model in the shadow"' in worker.log_file.read_text())
    await system.send(shoppers(1_000))
    assert (await system.account()).balanced

    labels = f'{{head="next_action",model="heads-{shadow.digest[:8]}",role="shadow"}}'
    graded = await until(lambda: counted(worker, "behavior_model_graded_total").get(labels))
    assert 50 < graded < 900
    predictions = [one for part in (await made(system)).values() for one in part]
    assert len({one["event_id"] for one in predictions}) == len(predictions)
    assert {one["model"]["digest"] for one in predictions} == {old}
    shown = orjson.loads(await asyncio.to_thread(ordered, system, "show", "--json"))
    assert shown["shadow"] == {"digest": shadow.digest, "path": "heads.safetensors", "share": 0.5}
    assert shown["artefacts"] == [{"path": "heads.safetensors", "digest": shadow.digest}]
