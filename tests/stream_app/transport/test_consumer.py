"""What the consumer changes of Faust's waiting: batches are handed on at once, all else waits as ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stream_app.settings import Broker
from stream_app.transport.consumer import BatchConsumer, batch_app


@pytest.fixture
async def consumer(tmp_path: Path) -> AsyncIterator[BatchConsumer]:
    app = batch_app("waiting", Broker(), data_dir=str(tmp_path))
    consumer: BatchConsumer = app.consumer
    yield consumer
    consumer._thread.thread_loop.close()


async def test_a_fetch_waits_for_the_flow_to_resume(consumer: BatchConsumer) -> None:
    waiting = asyncio.create_task(consumer.wait(consumer.can_resume_flow))
    await asyncio.sleep(0)
    assert not waiting.done()
    consumer.resume_flow()
    await asyncio.wait_for(waiting, 60)


async def test_what_is_awaited_alone_keeps_its_result(consumer: BatchConsumer) -> None:
    async def answer() -> int:
        return 42

    assert (await consumer.wait(answer())).result == 42


async def test_a_batch_that_finds_room_is_handed_on_at_once(consumer: BatchConsumer) -> None:
    handed: list[int] = []

    async def hand_on() -> None:
        handed.append(1)

    turn = consumer.wait_first(hand_on(), consumer.suspend_flow.wait())
    with pytest.raises(StopIteration):
        turn.send(None)
    assert handed == [1]


async def test_a_batch_that_finds_none_gives_way_to_a_rebalance(consumer: BatchConsumer) -> None:
    given_up: list[int] = []

    async def hand_on() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            given_up.append(1)
            raise

    waiting = asyncio.create_task(consumer.wait_first(hand_on(), consumer.suspend_flow.wait()))
    await asyncio.sleep(0)
    consumer.stop_flow()
    await asyncio.wait_for(waiting, 60)
    await asyncio.sleep(0)
    assert given_up == [1]
