"""The web server on a thread and an event loop of its own: a batch of events does not hold up an answer."""

from __future__ import annotations

from stream_app.loop_thread import LoopThread
from stream_app.web.server import WebServer


class WebThread:
    """Start and stop are called from the worker's loop."""

    def __init__(self, server: WebServer) -> None:
        self._server = server
        self._thread: LoopThread | None = None

    async def start(self) -> None:
        """Bind and serve. Raises SettingsError as the server does."""
        self._thread = LoopThread("web")
        self._thread.start()
        await self._thread.run(self._server.start())

    async def stop(self) -> None:
        """End the watchers, close, and end the thread."""
        if self._thread is not None:
            await self._thread.run(self._server.stop())
            await self._thread.stop()
