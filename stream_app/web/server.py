"""The worker's HTTP server: routes, who may ask, and headers. What is shown comes from elsewhere."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import Any, cast

import msgspec
import orjson
from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from stream_app.errors import DependencyError, SettingsError
from stream_app.insights import METRICS
from stream_app.metrics import Metrics
from stream_app.settings import Web
from stream_app.web.answers import Answers
from stream_app.web.journey import journey
from stream_app.web.live import Live
from stream_app.web.openapi import openapi
from stream_app.web.relay import ROUTED, Relay
from stream_app.web.status import Status

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ASSETS = {
    "page.html": "text/html",
    "page.css": "text/css",
    "page.js": "text/javascript",
    "insights.js": "text/javascript",
    "catalogue.js": "text/javascript",
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
SEND_TIMEOUT_S = 15.0
MOST_ITEMS = 100
STOP_TIMEOUT_S = 2.0
ACCEPT_TURNS = 8
"""Of the loop, in which a connection that was just accepted becomes the server's: once that is closed it stays open."""


class WebServer:
    """Serves one worker inside its event loop. Raises SettingsError when it must not or cannot bind."""

    def __init__(
        self, settings: Web, metrics: Metrics, status: Status, live: Live, *, answers: Answers | None = None
    ) -> None:
        self._token = settings.token.get_secret_value()
        if not self._token and not _is_loopback(settings.host):
            raise SettingsError(f"setting web.token: required because web.host {settings.host} is not loopback")
        self._settings, self._metrics, self._status, self._live = settings, metrics, status, live
        self._answers = answers
        self._relay = Relay(self._token)
        self._openapi = openapi()
        self._assets = {name: files(__package__).joinpath(name).read_bytes() for name in ASSETS}
        app = web.Application(middlewares=[self._guard])
        app.on_response_prepare.append(_set_headers)
        app.add_routes(
            [
                web.get("/", self._page),
                web.get("/assets/{name}", self._asset),
                web.get("/metrics", self._render_metrics),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/v1/live", self._stream),
                web.get("/v1/users/{id}", self._user),
                web.get("/v1/recommendations/{id}", self._recommendations),
                web.get("/v1/journeys/{id}", self._journey),
                web.get("/v1/insights", self._insights),
                web.get("/v1/items", self._items),
                web.get("/v1/photos/{id}", self._photo),
                web.get("/v1/openapi.json", self._document),
            ]
        )
        self.routes = [route for route in app.router.routes() if route.method == "GET"]
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_TIMEOUT_S)
        self._listening: asyncio.Server | None = None
        self.url = ""

    async def start(self) -> None:
        """Bind and serve; `url` tells where."""
        host, port = self._settings.host, self._settings.port
        await self._runner.setup()
        server = cast(web.Server, self._runner.server)
        try:
            self._listening = await asyncio.get_running_loop().create_server(server, host, port)
        except OSError as error:
            await self._runner.cleanup()
            raise SettingsError(f"setting web.port: cannot serve on {host}:{port}: {error.strerror}") from None
        bound_port = self._listening.sockets[0].getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{bound_port}"

    async def stop(self) -> None:
        """End the watchers and close."""
        self._live.close()
        await self._relay.close()
        if self._listening is not None:
            for listening in self._listening.sockets:
                asyncio.get_running_loop().remove_reader(listening)
            for _ in range(ACCEPT_TURNS):
                await asyncio.sleep(0)
            self._listening.close()
        await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """/v1 needs the token; without one, only names of this machine are answered (no DNS rebinding)."""
        if self._token:
            if request.path.startswith("/v1/") and not self._may(request):
                return _json({"error": "token required"}, status=401, headers={"WWW-Authenticate": "Bearer"})
        elif not _is_loopback(request.url.host or ""):
            return _json({"error": "unknown host"}, status=421)
        return await handler(request)

    def _may(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return hmac.compare_digest(given.encode(), self._token.encode())

    async def _page(self, _: web.Request) -> web.Response:
        return self._send_asset("page.html")

    async def _asset(self, request: web.Request) -> web.Response:
        if (name := request.match_info["name"]) not in ASSETS:
            raise web.HTTPNotFound
        return self._send_asset(name)

    def _send_asset(self, name: str) -> web.Response:
        return web.Response(body=self._assets[name], content_type=ASSETS[name], charset="utf-8")

    async def _render_metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.render(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def _healthz(self, _: web.Request) -> web.Response:
        failure = self._status.failure
        return _json({"alive": not failure, "reasons": [failure] if failure else []}, status=503 if failure else 200)

    async def _readyz(self, _: web.Request) -> web.Response:
        reasons = self._status.reasons
        return _json({"ready": not reasons, "reasons": reasons}, status=503 if reasons else 200)

    async def _user(self, request: web.Request) -> web.Response:
        return await self._find(request, "users", request.match_info["id"])

    async def _recommendations(self, request: web.Request) -> web.Response:
        return await self._find(request, "recommendations", request.match_info["id"])

    async def _find(self, request: web.Request, kind: str, user: str) -> web.Response:
        """From this worker's state, else from the worker that owns the user."""
        if (answers := self._answers) is None:
            return _json({"error": "no such user here"}, status=404)
        try:
            found = await (answers.user(user) if kind == "users" else answers.recommendations(user))
            if found is not None:
                return _json(found)
            owner = None if ROUTED in request.headers else answers.owner(user)
            if owner and owner != self.advertised:
                return await self._relay.ask(owner, kind, user)
        except DependencyError as error:
            return _json({"error": str(error)}, status=503)
        return _json({"error": "no such user here"}, status=404)

    async def _journey(self, request: web.Request) -> web.Response:
        """A shopper of the live page by the name shown there; their id does not leave the worker."""
        user = self._live.user_of(request.match_info["id"])
        found = await self._answers.user(user) if user and self._answers else None
        if found is None:
            return _json({"error": "no such shopper any more"}, status=404)
        return _json(journey(found, request.match_info["id"]))

    async def _insights(self, request: web.Request) -> web.Response:
        query = request.query
        try:
            windows, top = int(query.get("windows", "1")), int(query.get("top", "20"))
        except ValueError:
            windows = top = 0
        metric = query.get("metric")
        if not (1 <= windows <= 48 and 1 <= top <= 1000) or metric not in (None, *METRICS):
            return _json({"error": "metric, windows (1 to 48) or top (1 to 1000) is wrong"}, status=400)
        parts = self._answers.insights(metric, windows, top) if self._answers else ()
        trending = dict.fromkeys(cell.key for part in parts if part.metric == "trending_items" for cell in part.cells)
        items = self._answers.items(list(trending)) if self._answers else ()
        body = msgspec.json.encode({"insights": parts, "items": items})
        return web.Response(body=body, content_type="application/json")

    async def _items(self, request: web.Request) -> web.Response:
        products = request.query.getall("id", [])
        if not 1 <= len(products) <= MOST_ITEMS:
            return _json({"error": f"give id one to {MOST_ITEMS} times"}, status=400)
        return _json({"items": self._answers.items(products) if self._answers else ()})

    async def _photo(self, request: web.Request) -> web.Response:
        photo = await self._answers.photo(request.match_info["id"]) if self._answers else None
        if photo is None:
            return _json({"error": "no photo of this product"}, status=404)
        return web.Response(body=photo, content_type="image/jpeg")

    async def _document(self, _: web.Request) -> web.Response:
        return _json(self._openapi)

    @property
    def advertised(self) -> str:
        """Where other workers reach this one."""
        return self._settings.advertise or self.url

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: `data: <snapshot>`."""
        if self._live.full:
            return _json({"error": "too many watchers"}, status=503)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        await response.prepare(request)
        snapshots = self._live.watch()
        try:
            async for snapshot in snapshots:
                await asyncio.wait_for(response.write(b"data: %b\n\n" % snapshot), SEND_TIMEOUT_S)
        except (ConnectionResetError, TimeoutError):
            pass  # the watcher went away
        finally:
            await snapshots.aclose()
        return response


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _json(body: Mapping[str, Any], *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Bytes in the body are JSON already."""
    packed = orjson.dumps(body, orjson.Fragment, orjson.OPT_SERIALIZE_NUMPY)
    return web.Response(body=packed, status=status, headers=headers, content_type="application/json")


async def _set_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
