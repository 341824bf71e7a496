"""Keeps the scorer's item index up to date from the item log, which all workers read in one order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from fusion.recommender import ItemActivity, ItemIndex
from stream_app.records import RecordLike
from stream_app.transport.log_reader import LogReader


class ItemLog:
    """Follows the one partition of the item log; appends on the device thread, where the index is read."""

    def __init__(self, reader: LogReader, index: ItemIndex, device: Executor, crash: Callable[[BaseException], None]):
        self._reader = reader
        self._index = index
        self._device = device
        self._crash = crash
        self._follower: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Catch up with what is there, then follow."""
        await self._reader.start()
        async for chunk in self._reader.to_end():
            await self._append(chunk)
        self._follower = asyncio.create_task(self._follow(), name="item-log")

    async def stop(self) -> None:
        """End."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.wait([self._follower])
        await self._reader.stop()

    async def _follow(self) -> None:
        try:
            while True:
                await self._append(await self._reader.fetch(timeout_ms=1_000))
        except Exception as error:
            self._crash(error)

    async def _append(self, records: Sequence[RecordLike]) -> None:
        if records:
            await asyncio.get_running_loop().run_in_executor(self._device, self._apply, records)

    def _apply(self, records: Sequence[RecordLike]) -> None:
        for record in records:
            if record.value:
                self._index.append(record.offset, ItemActivity.decode(record.value))
