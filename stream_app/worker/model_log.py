"""Keeps the models as the control topic says: its records of models lie in one partition, under the empty key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from stream_app.models.life import Models
from stream_app.transport.log_reader import LogReader


class ModelLog:
    """Follows the control partition. `judges`: whether this worker may say what holds."""

    def __init__(
        self, reader: LogReader, models: Models, crash: Callable[[BaseException], None], *, judges: Callable[[], bool]
    ) -> None:
        self._reader, self._models, self._crash, self._judges = reader, models, crash, judges
        self._follower: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take over what the topic names, then follow."""
        await self._reader.start()
        await self._models.start([record async for chunk in self._reader.to_end() for record in chunk])
        self._follower = asyncio.create_task(self._follow(), name="model-log")

    async def stop(self) -> None:
        """End."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.wait([self._follower])
        self._models.close()
        await self._reader.stop()

    async def _follow(self) -> None:
        try:
            while True:
                await self._models.take_in(await self._reader.fetch(timeout_ms=1_000), judge=self._judges())
        except Exception as error:
            self._crash(error)
