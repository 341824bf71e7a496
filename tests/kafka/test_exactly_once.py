"""Whatever dies, each event is predicted once and every window counts right."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_app.errors import DependencyError, StateError
from stream_app.producers.publish import Encoded, encode
from stream_app.producers.replay import replay
from stream_app.producers.simulate import simulate
from stream_app.records import OutputRecord
from stream_app.transport import admin
from stream_app.transport.transaction import TaskProducer
from tests.kafka.workers import System, forget_offsets, kill, last_words, one_user_per_partition, until

START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


def shoppers(events: int) -> list[Encoded]:
    return [encode(*one) for one in simulate(users=400, seed=7, start_ms=START_MS, events=events)]


async def survive(system: System, stream: list[Encoded]) -> None:
    """Feed the stream while workers are killed, stopped, joined and left; then everything must add up."""
    await system.create_topics()
    first = system.start_worker()
    total = len(stream)

    async def reached(share: float) -> None:
        await until(lambda: _done(system, int(total * share)), deadline_s=120)

    async def chaos() -> None:
        for share in (0.1, 0.25, 0.4):
            await reached(share)
            await kill(first)
        await reached(0.55)
        second = system.start_worker()
        await until(lambda: '"assigned"' in second.log_file.read_text())
        await reached(0.75)
        await asyncio.to_thread(second.stop)
        assert second.process is not None
        assert second.process.returncode == 0
        await reached(0.85)
        await asyncio.to_thread(first.stop)
        system.start_worker()

    pieces = 12
    breaking = asyncio.create_task(chaos())
    for piece in range(pieces):
        await system.send(stream[total * piece // pieces : total * (piece + 1) // pieces])
        if not breaking.done():
            await reached((piece - 1) / pieces * 0.9)
    await breaking
    end_ms = max(record.time_ms for record in stream)
    users = one_user_per_partition(system.settings.topics.partitions)
    await system.send(last_words(end_ms + 2 * HOUR_MS, users))

    account = await system.account()
    assert account.balanced, account
    assert await system.window_differences(until_ms=end_ms + HOUR_MS) == []


async def _done(system: System, count: int) -> bool:
    return await system.predictions() >= count


@pytest.mark.timeout(600)
async def test_nothing_is_lost_or_repeated_while_workers_die_join_and_leave(system: System) -> None:
    await survive(system, shoppers(12_000))


@asynccontextmanager
async def fenced(system: System) -> AsyncIterator[tuple[TaskProducer, TaskProducer]]:
    """The producer of a task that has published a prediction, and the one that has taken the task over."""
    await system.create_topics()
    zombie, owner = (TaskProducer(system.settings.broker, group="zombies", partition=0) for _ in range(2))
    try:
        await zombie.start()
        await zombie.commit(zombie.pack([OutputRecord(system.names.predictions, b"u", b"1")]), {})
        await owner.start()
        yield zombie, owner
    finally:
        await zombie.stop()
        await owner.stop()


@pytest.mark.timeout(120)
async def test_a_task_that_has_another_owner_says_so_wherever_its_client_meets_the_fence(system: System) -> None:
    names, broker = system.names, system.settings.broker
    async with fenced(system) as (zombie, owner):
        later = f"{names.predictions}.later"  # the client waits for it with the rest, and meets the fence meanwhile
        records = [OutputRecord(name, b"u", b"2") for name in (names.predictions, later)]
        committing = asyncio.create_task(zombie.commit(zombie.pack(records), {(names.inputs[0], 0): 1}))
        await admin.create(broker, [admin.TopicPlan(later, 1, 1, {})])
        with pytest.raises(StateError, match="another owner"):
            await committing
        await owner.commit(owner.pack(records[:1]), {(names.inputs[0], 0): 1})
    assert [record.value for record in await system.read("predictions")] == [b"1", b"2"]


async def test_an_opened_transaction_has_joined_group_and_partitions_before_it_is_written(system: System) -> None:
    await system.create_topics()
    names = system.names
    producer = TaskProducer(system.settings.broker, group="early", partition=0)
    asked: list[str] = []
    await producer.start()
    send = producer._producer.client.send

    async def told(node: int, request: Any, **more: Any) -> Any:
        asked.append(type(request).__name__)
        return await send(node, request, **more)

    producer._producer.client.send = told
    try:
        for value, joins in ((b"1", 1), (b"2", 1), (b"3", 0)):
            asked.clear()
            if not joins:
                producer.open()
                await until(lambda: {"AddPartitionsToTxnRequest", "AddOffsetsToTxnRequest"} <= set(asked))
                asked.clear()
            packed = producer.pack([OutputRecord(names.predictions, b"u", value)])
            await producer.commit(packed, {(names.inputs[0], 0): int(value)})
            assert asked.count("AddOffsetsToTxnRequest") == joins
            assert bool(asked.count("AddPartitionsToTxnRequest")) == bool(joins)
            assert asked.count("EndTxnRequest") == 1
    finally:
        await producer.stop()
    assert [record.value for record in await system.read("predictions")] == [b"1", b"2", b"3"]


async def test_an_opened_transaction_that_was_fenced_says_so_when_it_is_written(system: System) -> None:
    names = system.names
    async with fenced(system) as (zombie, owner):
        record = OutputRecord(names.predictions, b"u", b"2")
        zombie.open()
        await until(lambda: zombie._producer._sender.sender_task.done())
        with pytest.raises(StateError, match="another owner"):
            await zombie.commit(zombie.pack([record]), {(names.inputs[0], 0): 1})
        await owner.commit(owner.pack([record]), {(names.inputs[0], 0): 1})
    assert [record.value for record in await system.read("predictions")] == [b"1", b"2"]


@pytest.mark.timeout(240)
async def test_a_group_whose_offsets_the_broker_lost_reads_on_from_where_the_state_is(system: System) -> None:
    await system.create_topics()
    worker = system.start_worker()
    first, second = shoppers(600)[:300], shoppers(600)[300:]
    await system.send(first)
    before = await system.account()
    assert before.balanced
    await asyncio.to_thread(worker.stop)
    await forget_offsets(system.settings.broker, system.settings.pipeline.name)
    worker = system.start_worker()
    await system.send(second)
    account = await system.account()
    assert account.balanced, account
    assert (account.late, account.dead_letters) == (before.late, 0)
    assert account.inputs == len(first) + len(second)
    assert "the group's offsets are behind the state" in worker.log_file.read_text()


@pytest.mark.timeout(240)
async def test_a_topic_made_anew_is_read_from_its_beginning_once(system: System) -> None:
    await system.create_topics()
    worker = system.start_worker()
    await system.send(views(0, 200))
    await until(lambda: _predicted(system, 200))
    await asyncio.to_thread(worker.stop)
    async with admin.admin_client(system.settings.broker) as client:
        await client.delete_topics([system.names["clicks"]])
    await until(lambda: _creates(system))
    for sent in (250, 300):
        worker = system.start_worker()
        await system.send(views(sent - 50, sent))
        await until(lambda at=sent: _predicted(system, at))
        await asyncio.to_thread(worker.stop)
    answered = [orjson.loads(record.value or b"")["event_id"] for record in await system.read("predictions")]
    assert sorted(answered) == sorted(f"view-{at}" for at in range(300))
    assert not await system.read("late-events", "dead-letters")


def views(first: int, end: int) -> list[Encoded]:
    """Clicks of twenty users, in order."""
    return [
        encode("clicks", {"event_id": f"view-{at}", "event_time": START_MS + at, "user_id": f"u{at % 20}",
                          "action": "view", "product_id": "p"})
        for at in range(first, end)
    ]  # fmt: skip


async def _predicted(system: System, events: int) -> bool:
    return await system.predictions() >= events


async def _creates(system: System) -> bool:
    """Create what is missing: a topic that is being deleted cannot be made yet."""
    try:
        await system.create_topics()
    except DependencyError:
        return False
    return system.names["clicks"] in await admin.partition_counts(system.settings.broker, [system.names["clicks"]])


@pytest.mark.timeout(900)
async def test_real_events_survive_the_same(system: System, data_dir: Path) -> None:
    await survive(system, [encode(*one) for one in replay("composite", data_dir, limit=60_000)])
