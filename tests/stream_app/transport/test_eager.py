"""A coroutine begun at once ends, waits, fails and is cancelled like any other."""

from __future__ import annotations

import asyncio

import pytest

from stream_app.transport.eager import begun


async def test_what_does_not_wait_has_ended() -> None:
    seen: list[int] = []

    async def note() -> None:
        seen.append(1)

    assert begun(note()) is None
    assert seen == [1]


async def test_what_waits_goes_on_when_it_is_awaited() -> None:
    seen: list[int] = []
    first, second = asyncio.Event(), asyncio.Event()

    async def note() -> None:
        await first.wait()
        seen.append(1)
        await second.wait()
        seen.append(2)

    rest = begun(note())
    assert rest is not None
    task = asyncio.create_task(rest)
    for event, wanted in ((first, [1]), (second, [1, 2])):
        event.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert seen == wanted
    await task


@pytest.mark.parametrize("waits", [False, True])
async def test_an_error_is_its_callers(waits: bool) -> None:
    async def fail() -> None:
        if waits:
            await asyncio.sleep(0)
        raise ValueError("mine")

    async def run() -> None:
        rest = begun(fail())
        assert waits, "an error that comes at once is raised at once"
        assert rest is not None
        await rest

    with pytest.raises(ValueError, match="mine"):
        await run()


async def test_it_can_be_cancelled_while_it_waits() -> None:
    ended: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    rest = begun(wait())
    assert rest is not None
    task = asyncio.create_task(rest)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["cancelled"]
