"""Asks another worker when a user's state lives there."""

from __future__ import annotations

from urllib.parse import quote

from aiohttp import ClientError, ClientSession, ClientTimeout, web

from stream_app.errors import DependencyError

ROUTED = "X-Routed"
"""Header of a request that was passed on; it is not passed on again."""
TIMEOUT_S = 3.0


class Relay:
    """One client session, made at the first request."""

    def __init__(self, token: str) -> None:
        self._headers = {ROUTED: "1"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._session: ClientSession | None = None

    async def ask(self, url: str, kind: str, user: str) -> web.Response:
        """The other worker's answer. Raises DependencyError where it does not come."""
        if self._session is None:
            self._session = ClientSession(headers=self._headers, timeout=ClientTimeout(total=TIMEOUT_S))
        try:
            async with self._session.get(f"{url}/v1/{kind}/{quote(user, safe='')}") as answer:
                return web.Response(body=await answer.read(), status=answer.status, content_type=answer.content_type)
        except (ClientError, TimeoutError) as error:
            raise DependencyError(f"the worker that owns this user does not answer: {type(error).__name__}") from None

    async def close(self) -> None:
        """Drop the connections."""
        if self._session is not None:
            await self._session.close()
