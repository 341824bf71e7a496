"""An event loop on a thread of its own: what computes on one loop does not hold up what talks on another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

STOP_S, FLUSH_S = 5.0, 0.2


class LoopThread:
    """Its methods are called from other loops; it ends with the process, if not before."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)

    def start(self) -> None:
        """Once."""
        self._thread.start()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What comes of it there."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def begin(self, work: Coroutine[Any, Any, object]) -> None:
        """Have it done there; nobody hears what comes of it."""
        asyncio.run_coroutine_threadsafe(work, self._loop)

    async def stop(self) -> None:
        """End what is left on it, a connection just accepted for one, and the thread."""
        await self.run(_end_tasks())
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join, STOP_S)
        self._loop.close()


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=STOP_S)
    await asyncio.sleep(FLUSH_S)  # transports that were closed send what they hold and close their sockets
