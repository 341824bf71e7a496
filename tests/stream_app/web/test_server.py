"""The HTTP surface over real sockets: health, metrics, who may ask, the event stream."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from stream_app.errors import DependencyError, SettingsError
from stream_app.insights.part import Part
from stream_app.metrics import Metrics
from stream_app.outputs.engagement import Window
from stream_app.settings import Web
from stream_app.web import Answers, Live, Status, WebServer

TOKEN = "a-long-secret"
RIGHT = {"Authorization": f"Bearer {TOKEN}"}
DOCUMENT = "/v1/openapi.json"


class Served:
    """A running server and its parts."""

    def __init__(self, settings: Web, answers: Answers | None = None) -> None:
        self.metrics = Metrics()
        self.status = Status(self.metrics)
        self.live = Live(self.metrics, self.status, watchers=2)
        self.server = WebServer(settings, self.metrics, self.status, self.live, answers=answers)

    async def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        async with ClientSession() as session, session.get(self.server.url + path, headers=headers) as response:
            return response.status, await response.read()


PHOTO = b"\xff\xd8\xff..."
SOLD: dict[str, dict[str, Any]] = {"p/1": {"title": "A lamp", "photo": "/v1/photos/p%2F1"}}
PART = Part("funnel", Window("tumbling", "2024-05-01T12:00:00Z", "2024-05-01T13:00:00Z", True), None, 5, 1.0, 0, [])


class Desk:
    """Knows ann; bob lives elsewhere."""

    def __init__(self, *known: str, elsewhere: str | None = None) -> None:
        self.known, self.elsewhere = known, elsewhere

    async def user(self, user: str) -> Mapping[str, Any] | None:
        if user == "broken":
            raise DependencyError("the state is being restored")
        return {"user_id": user, "sessions": 2} if user in self.known else None

    async def recommendations(self, user: str) -> Mapping[str, Any] | None:
        return {"user_id": user, "items": []} if user in self.known else None

    def insights(self, metric: str | None = None, windows: int = 1, top: int = 20) -> list[Part]:
        return [PART][:windows] if metric in (None, "funnel") and top else []

    def items(self, products: Sequence[str]) -> list[dict[str, Any]]:
        return [{"product_id": product, **SOLD.get(product, {})} for product in products]

    async def photo(self, product: str) -> bytes | None:
        return PHOTO if SOLD.get(product, {}).get("photo") else None

    def owner(self, user: str) -> str | None:
        return self.elsewhere if user == "bob" else None


@pytest.fixture
async def open_server() -> AsyncIterator[Served]:
    served = Served(Web(port=0), Desk("ann", "安/ü"))
    await served.server.start()
    yield served
    await served.server.stop()


@pytest.fixture
async def guarded() -> AsyncIterator[Served]:
    served = Served(Web(host="0.0.0.0", port=0, token=SecretStr(TOKEN)), Desk("ann", "安/ü"))
    await served.server.start()
    yield served
    await served.server.stop()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.test"])
def test_binding_beyond_loopback_without_a_token_refuses_in_one_line(host: str) -> None:
    with pytest.raises(SettingsError, match=r"^setting web\.token: required .* not loopback$"):
        Served(Web(host=host))


async def test_a_port_in_use_is_a_setting_to_mend(open_server: Served) -> None:
    port = int(open_server.server.url.rpartition(":")[2])
    with pytest.raises(SettingsError, match=r"^setting web\.port"):
        await Served(Web(port=port)).server.start()


async def test_readiness_turns_green_with_the_last_restored_task_and_red_with_a_pause(open_server: Served) -> None:
    assert (await open_server.get("/readyz"))[0] == 503
    open_server.status.assign([7])
    status, body = await open_server.get("/readyz")
    assert (status, orjson.loads(body)["reasons"]) == (503, ["restoring tasks 7"])
    open_server.status.restored(7)
    assert (await open_server.get("/readyz"))[0] == 200
    open_server.status.pause("broker", "away")
    assert (await open_server.get("/readyz"))[0] == 503
    assert (await open_server.get("/healthz"))[0] == 200


async def test_a_failed_worker_is_not_alive(open_server: Served) -> None:
    open_server.status.fail("state and log differ")
    assert (await open_server.get("/healthz"))[0] == 503


async def test_metrics_are_prometheus_text(open_server: Served) -> None:
    _, body = await open_server.get("/metrics")
    assert "behavior_up" in {family.name for family in text_string_to_metric_families(body.decode())}


@pytest.mark.parametrize(("user", "status"), [("ann", 200), ("%E5%AE%89%2F%C3%BC", 200), ("bob", 404), ("broken", 503)])
async def test_a_user_is_found_by_id(open_server: Served, user: str, status: int) -> None:
    found, body = await open_server.get(f"/v1/users/{user}")
    assert found == status
    assert orjson.loads(body)


async def test_without_a_lookup_no_user_is_known() -> None:
    served = Served(Web(port=0))
    await served.server.start()
    assert (await served.get("/v1/users/ann"))[0] == 404
    await served.server.stop()


async def test_user_data_needs_the_token_once_there_is_one(guarded: Served) -> None:
    guarded.server.url = guarded.server.url.replace("0.0.0.0", "127.0.0.1")
    paths = [path.replace("{id}", "ann") for path in orjson.loads((await guarded.get(DOCUMENT, **RIGHT))[1])["paths"]]
    for path in (path for path in paths if path.startswith("/v1/")):
        assert (await guarded.get(path))[0] == 401
        assert (await guarded.get(path, Authorization="Bearer wrong"))[0] == 401
    assert (await guarded.get("/v1/users/ann", Authorization=f"Bearer {TOKEN}"))[0] == 200
    for path in ("/", "/metrics", "/healthz"):
        assert (await guarded.get(path))[0] == 200


async def test_a_foreign_host_name_is_refused_where_no_token_guards(open_server: Served) -> None:
    assert (await open_server.get("/v1/users/ann", Host="evil.test"))[0] == 421
    assert (await open_server.get("/v1/users/ann", Host="localhost:1234"))[0] == 200


async def test_the_page_may_load_nothing_from_elsewhere(open_server: Served) -> None:
    async with ClientSession() as session, session.get(open_server.server.url) as response:
        page = await response.text()
        policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for name in ("page.css", "page.js"):
        assert f"/assets/{name}" in page
        status, body = await open_server.get(f"/assets/{name}")
        assert status == 200
        assert b"://" not in body.replace(b"http://www.w3.org/2000/svg", b"")
    assert (await open_server.get("/assets/server.py"))[0] == 404


async def test_the_stream_sends_snapshots_and_ends_with_the_server(open_server: Served) -> None:
    async with ClientSession() as session, session.get(f"{open_server.server.url}/v1/live") as response:
        assert response.content_type == "text/event-stream"
        line = await response.content.readline()
        assert orjson.loads(line.removeprefix(b"data: "))["types"].keys() >= {"clicks", "reviews"}
        await open_server.server.stop()
        await response.read()
    assert not open_server.live.watched


async def test_watchers_are_limited(open_server: Served) -> None:
    async with ClientSession() as session:
        streams = [await session.get(f"{open_server.server.url}/v1/live") for _ in range(2)]
        for stream in streams:
            await stream.content.readline()
        assert (await open_server.get("/v1/live"))[0] == 503
        for stream in streams:
            stream.close()


async def test_a_user_of_another_worker_is_asked_for_there_once() -> None:
    token = SecretStr(TOKEN)
    home = Served(Web(port=0, token=token), Desk("bob"))
    await home.server.start()
    door = Served(Web(port=0, token=token), Desk("ann", elsewhere=home.server.url))
    await door.server.start()
    mirror = Served(Web(port=0, token=token), Desk(elsewhere=door.server.url))  # believes what is no longer so
    await mirror.server.start()
    for kind in ("users", "recommendations"):
        status, body = await door.get(f"/v1/{kind}/bob", **RIGHT)
        assert (status, orjson.loads(body)["user_id"]) == (200, "bob")
        assert (await door.get(f"/v1/{kind}/bob"))[0] == 401
        assert (await mirror.get(f"/v1/{kind}/bob", **RIGHT))[0] == 404
        assert (await door.get(f"/v1/{kind}/nobody", **RIGHT))[0] == 404
    await home.server.stop()
    assert (await door.get("/v1/users/bob", **RIGHT))[0] == 503
    for served in (door, mirror):
        await served.server.stop()


async def test_insights_are_asked_for_by_metric(open_server: Served) -> None:
    status, body = await open_server.get("/v1/insights?metric=funnel&windows=3")
    assert (status, [part["metric"] for part in orjson.loads(body)["insights"]]) == (200, ["funnel"])
    for wrong in ("metric=none", "windows=0", "windows=x", "top=0"):
        assert (await open_server.get(f"/v1/insights?{wrong}"))[0] == 400


async def test_items_and_photos_of_the_catalogue(open_server: Served) -> None:
    body = orjson.loads((await open_server.get("/v1/items?id=p%2F1&id=p2"))[1])
    assert body == {"items": [{"product_id": "p/1", **SOLD["p/1"]}, {"product_id": "p2"}]}
    assert (await open_server.get(body["items"][0]["photo"])) == (200, PHOTO)
    assert (await open_server.get("/v1/photos/p2"))[0] == 404
    assert (await open_server.get("/v1/items"))[0] == 400
    assert (await open_server.get("/v1/items?" + "&".join(["id=x"] * 101)))[0] == 400


async def test_every_route_is_in_the_openapi_document(open_server: Served) -> None:
    document = orjson.loads((await open_server.get("/v1/openapi.json"))[1])
    routes = {route.resource.canonical for route in open_server.server.routes if route.resource}
    assert set(document["paths"]) == routes - {"/", "/assets/{name}"}


async def test_a_journey_is_asked_for_by_the_name_on_the_page(open_server: Served) -> None:
    assert (await open_server.get("/v1/journeys/abcdef"))[0] == 404
