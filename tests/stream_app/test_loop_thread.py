"""Work goes to another thread's loop, and nothing is left on it at the end."""

import asyncio
import threading

import pytest

from stream_app.loop_thread import LoopThread


async def test_it_answers_from_its_own_thread_and_passes_errors_on() -> None:
    there = LoopThread("there")
    there.start()

    async def name() -> str:
        return threading.current_thread().name

    async def fail() -> None:
        raise ValueError("no")

    try:
        assert await there.run(name()) == "there"
        with pytest.raises(ValueError, match="no"):
            await there.run(fail())
    finally:
        await there.stop()


async def test_what_is_left_is_ended() -> None:
    there, ended = LoopThread("there"), threading.Event()
    there.start()

    async def endless() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    async def begin() -> asyncio.Task[None]:
        task = asyncio.create_task(endless())
        await asyncio.sleep(0)
        return task

    task = await there.run(begin())
    await there.stop()
    assert ended.is_set()
    assert task.cancelled()
