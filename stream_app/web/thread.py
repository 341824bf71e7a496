"""The web server on a thread and an event loop of its own: a batch of events does not hold up an answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

from stream_app.web.server import WebServer

STOP_S = 5.0


class WebThread:
    """Start and stop are called from the worker's loop."""

    def __init__(self, server: WebServer) -> None:
        self._server = server
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    async def start(self) -> None:
        """Bind and serve. Raises SettingsError as the server does."""
        self._loop = loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=loop.run_forever, name="web", daemon=True)
        self._thread.start()
        await self._there(loop, self._server.start())

    async def stop(self) -> None:
        """End the watchers, close, and end the thread."""
        if self._loop is None or self._thread is None:
            return
        await self._there(self._loop, self._server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join, STOP_S)
        self._loop.close()

    async def _there(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))
