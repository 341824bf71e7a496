"""After kill -9 a task comes back from its local checkpoint and the tail of its changelog, or, where the file is not
to be trusted, from the changelog alone; either way with the same state."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_app.broker import EmbeddedBroker
from stream_app.metrics import Metrics
from stream_app.models.life import Models, load_configured
from stream_app.models.memory import held_dtype
from stream_app.producers.publish import encode
from stream_app.producers.simulate import simulate
from stream_app.records import Record
from stream_app.state import StateSettings, TaskState
from stream_app.state.checkpoint import Writer, read
from stream_app.state.task_state import OWN
from stream_app.transport import admin
from stream_app.transport.log_reader import LogReader
from stream_app.transport.transaction import TaskProducer
from stream_app.worker.checkpoints import Checkpoints, Found, last_values
from stream_app.worker.device import Device
from stream_app.worker.pipeline import Pipeline, Publication
from stream_app.worker.routing import partition_of
from stream_app.worker.scoring import Scoring
from stream_app.worker.task import Task
from tests.kafka.workers import System, kill, settings_for, until
from tests.stream_app.state.whole import whole

START_MS = 1_700_000_000_000
PARTITIONS = 2


@pytest.fixture
def system(broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path) -> Iterator[System]:
    settings = settings_for(broker.url, topic_prefix, tmp_path, partitions=PARTITIONS)
    running = System(settings, tmp_path, more={"STATE__CHECKPOINT_S": "0.5"})
    yield running
    running.stop()


def lines(system: System, message: str) -> list[dict[str, Any]]:
    """What the workers have said under that message."""
    found = [orjson.loads(line) for worker in system.workers for line in worker.log_file.read_text().splitlines()]
    return [one for one in found if one["message"] == message]


class Bench:
    """Restores a task's state as a worker would, without its inputs."""

    def __init__(self, system: System, cluster: str, number: int) -> None:
        scorer = load_configured(system.settings).scorer
        self._made = {"carried": held_dtype(scorer.carried_dtype), "history": scorer.history, "inputs": 5}
        self._system, self._number, self._cluster = system, number, cluster
        self.path = system.folder / "checkpoints" / cluster / system.names.state / f"{number}.state"

    async def restored(self, *, checkpoint: bool) -> tuple[Found, TaskState]:
        settings = self._system.settings
        state = self._state()
        identity = {"cluster": self._cluster, "topic": self._system.names.state, "partition": self._number}
        checkpoints = Checkpoints(self.path, identity, state=state, own=state.own, every_s=60)
        reader = LogReader(settings.broker, [(self._system.names.state, self._number)])
        await reader.start()
        try:
            found = await last_values(reader, checkpoints if checkpoint else None)
        finally:
            await reader.stop()
        users = {key: value for key, value in found.pairs.items() if not key.startswith(b"\0insights")}
        saved = found.checkpoint
        own = {} if saved is None else {k: v for k, v in saved.own.items() if not k.startswith(b"\0insights")}
        state.restore(users.items(), now_ms=1, own=own, slices=saved.slices() if saved else ())
        return found, state

    def forged(self, **wrong: Any) -> bytes:
        """The file as if it were of another log, or of another time."""
        found = read(self.path, {}, row=self._state().row)
        assert found is not None
        writer = Writer(self.path.with_name("forged"))
        try:
            for part in found.slices():
                writer.add(part)
            said = {"offset": found.offset, "log_id": found.log_id, "begun_ms": found.begun_ms, "own": found.own}
            writer.finish(found.identity, **(said | wrong))
        finally:
            writer.close()
        return writer.path.read_bytes()

    def _state(self) -> TaskState:
        return TaskState(StateSettings(**self._system.settings.state.model_dump()), **self._made)

    @staticmethod
    def own(found: Found) -> dict[bytes, bytes]:
        """All that the log holds beside users."""
        values = {**(found.checkpoint.own if found.checkpoint else {}), **found.pairs}
        return {k: v for k, v in values.items() if k.startswith(OWN) and v is not None}


@pytest.mark.timeout(300)
async def test_a_killed_worker_comes_back_from_its_checkpoint_with_the_same_state(
    system: System, caplog: pytest.LogCaptureFixture
) -> None:
    await system.create_topics()
    stream = [encode(*one) for one in simulate(users=300, seed=5, start_ms=START_MS, events=3_000, images=False)]
    worker = system.start_worker()
    await system.send(stream[:2_500])
    half = await system.account()
    assert half.balanced, half
    cluster = await admin.cluster_id(system.settings.broker)
    benches = [Bench(system, cluster, number) for number in range(PARTITIONS)]
    offsets = [(await bench.restored(checkpoint=False))[0].offset for bench in benches]
    await until(
        lambda: {one["partition"] for one in lines(system, "checkpoint") if one["offset"] > 20} == {0, 1},
        deadline_s=120,
    )
    await system.send(stream[2_500:])
    await kill(worker)
    await until(lambda: len(lines(system, "restored")) >= 2 * PARTITIONS, deadline_s=120)
    again = lines(system, "restored")[-PARTITIONS:]
    assert all(one["checkpoint"] for one in again), again
    account = await system.account()
    assert account.balanced, account
    system.stop()
    assert not lines(system, "checkpoint refused")

    for bench, before in zip(benches, offsets, strict=True):
        assert before is not None
        (tail, one), (log, other) = await bench.restored(checkpoint=True), await bench.restored(checkpoint=False)
        assert tail.checkpoint is not None
        assert tail.checkpoint.offset > 0
        assert tail.read < log.read
        assert bench.own(tail) == bench.own(log)
        assert whole(one) == whole(other)
        assert len(one) > 50

    await refusals(benches, caplog)


async def refusals(benches: list[Bench], caplog: pytest.LogCaptureFixture) -> None:
    """A torn file, another task's, another topic's or an old one is refused in one line, and the whole log is read."""
    first, second = (bench.path for bench in benches)
    whole_file = first.read_bytes()
    foreign = second.read_bytes()
    other_log, beyond = benches[0].forged(log_id="another"), benches[0].forged(offset=1 << 40)
    doubtful = [
        (whole_file[:-1], "torn"),
        (foreign, "another partition"),
        (other_log, "another log"),
        (beyond, "does not reach"),
        (benches[0].forged(begun_ms=1), "h old"),
    ]
    for data, reason in doubtful:
        first.write_bytes(data)
        caplog.clear()
        found, _ = await benches[0].restored(checkpoint=True)
        assert found.checkpoint is None
        assert found.offset is not None
        (line,) = [record for record in caplog.records if record.message == "checkpoint refused"]
        assert reason in line.__dict__["reason"]


@pytest.mark.timeout(120)
async def test_a_checkpoint_waits_for_the_log_also_after_what_a_task_told_on_leaving(system: System) -> None:
    """The model is held up with a batch that has changed the state already."""
    await system.create_topics()
    settings = system.settings.model_copy(
        update={"pipeline": system.settings.pipeline.model_copy(update={"updates_ms": 3_600_000})}
    )
    served, metrics, names = load_configured(settings), Metrics(), system.names
    state = TaskState(
        StateSettings(**settings.state.model_dump()),
        carried=held_dtype(served.scorer.carried_dtype),
        history=served.scorer.history,
        inputs=5,
    )
    told: list[Publication] = []
    failed: list[BaseException] = []
    held_up = threading.Event()
    with Device() as device:
        pipeline = Pipeline(
            0,
            state=state,
            models=Models(served, settings=settings, metrics=metrics, device=device),
            scoring=Scoring(device),
            names=names,
            settings=settings,
            metrics=metrics,
        )
        path = system.folder / "0.state"
        checkpoints = Checkpoints(path, {"partition": 0}, state=state, own=pipeline.own, every_s=3_600)
        task = Task(
            0,
            names=names,
            settings=settings.pipeline,
            pipeline=pipeline,
            producer=TaskProducer(settings.broker, group=settings.pipeline.name, partition=0),
            metrics=metrics,
            expecting=list,
            fellows=lambda: [task],
            committed=told.append,
            checkpoints=checkpoints,
            crash=failed.append,
        )
        users = [f"u{number}" for number in range(99) if partition_of(b"u%d" % number, PARTITIONS) == 0][:4]

        def does(at: int) -> None:
            """A user clicks who is not known yet."""
            event = {"event_id": f"e{at}", "event_time": START_MS + at, "user_id": users[at]}
            made = encode("clicks", {**event, "action": "view", "product_id": "p"})
            task.feed(0, [Record(names.inputs[0], 0, at, made.time_ms, made.key, made.value)], lambda: None)

        await task.start(LogReader(settings.broker, [(names.state, 0)]))
        try:
            task.run()
            for at in range(2):  # of the first batch windows are told at once, of the second not yet
                does(at)
                await until(lambda at=at: sum(one.size for one in told) > at or failed)
            before = len(told)
            await task.drain()
            assert [one.size for one in told[before:]] == [0], "on leaving it told the window of the second"
            task.run()
            device.submit(held_up.wait)
            does(2)
            await until(lambda: users[2].encode() in state)
            writing = asyncio.create_task(checkpoints.write())
            await asyncio.wait({writing}, timeout=1)
            assert not path.exists(), "it holds what the log does not"
            held_up.set()
            assert await asyncio.wait_for(writing, 60)
            assert sum(one.size for one in told) == 3
            await task.drain()
        finally:
            held_up.set()
            await task.stop()
    assert not failed
