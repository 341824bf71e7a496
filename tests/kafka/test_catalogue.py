"""The catalogue on a real broker: titles and photos for people, bad records set aside once, predictions untouched."""

import asyncio
import base64
import io

import orjson
import pytest
from PIL import Image

from stream_app.producers.publish import Encoded, encode
from stream_app.producers.simulate import simulate
from stream_app.transport.log_reader import LogReader
from tests.kafka.workers import System, get, kill, until, url_of

START_MS = 1_700_000_000_000


@pytest.fixture
def partitions() -> int:
    return 2


def photo(shade: int) -> dict[str, str]:
    packed = io.BytesIO()
    Image.new("RGB", (300, 200), (shade, 10, 10)).save(packed, "JPEG")
    return {"data": base64.b64encode(packed.getvalue()).decode()}


def items(*bodies: tuple[bytes | None, bytes | None]) -> list[Encoded]:
    return [Encoded("items", key, value, START_MS) for key, value in bodies]


def asked(url: str, *products: str) -> list[dict[str, object]]:
    status, body = get(f"{url}/v1/items?" + "&".join(f"id={product}" for product in products))
    assert status == 200
    return list(orjson.loads(body)["items"])


async def test_the_catalogue_is_shown_and_its_bad_records_are_set_aside_once(system: System) -> None:
    await system.create_topics()
    bad = [(b"p7", b"{"), (b"\xff\xfe", b"{}"), (b"p8", orjson.dumps({"price": "cheap"}))]
    goods = [(f"p{n}".encode(), orjson.dumps({"title": f"Lamp {n}", "price": n, "image": photo(n)})) for n in range(6)]
    await system.send(items(*goods, *bad, (b"p5", None)))
    worker = system.start_worker()
    url = await until(lambda: url_of(worker), deadline_s=90)
    await until(lambda: len(asked(url, "p0")[0]) > 1, deadline_s=90)
    await until(lambda: "title" not in asked(url, "p5")[0])
    (first,) = asked(url, "p0")
    assert (first["title"], first["price"], first["photo"]) == ("Lamp 0", 0, "/v1/photos/p0")
    status, body = get(f"{url}/v1/photos/p0")
    assert status == 200
    with Image.open(io.BytesIO(body)) as small:
        assert max(small.size) <= 128
    assert get(f"{url}/v1/photos/p7")[0] == 404

    async def letters() -> list[bytes | None]:
        return [record.value for record in await system.read("dead-letters")]

    expected = sorted(value for _, value in bad)
    await until(lambda: _are(letters(), expected), deadline_s=90)
    await kill(worker)
    later = (b"p9", b"[]")
    await system.send(items(later))
    await until(lambda: _are(letters(), sorted([*expected, later[1]])), deadline_s=90)
    await system.send([encode(*one) for one in simulate(users=20, seed=3, start_ms=START_MS, events=300)])
    assert (await system.account()).balanced
    assert sorted(value or b"" for value in await letters()) == sorted([*expected, later[1]])
    headers = [dict(record.headers) for record in await system.read("dead-letters")]
    assert {found["__streams.errors.topic"].decode() for found in headers} == {system.names.items}


async def _are(found: "asyncio.Future[list[bytes | None]]", expected: list[bytes]) -> bool:
    return sorted(value or b"" for value in await found) == expected


async def test_one_record_is_found_again_by_its_place(system: System) -> None:
    await system.create_topics()
    await system.send(items(*[(b"p%d" % n, b'{"title": "%d"}' % n) for n in range(40)]))
    there = {(record.partition, record.offset): record.value for record in await system.read("items")}
    finder = LogReader(system.settings.broker, [(system.names.items, at) for at in range(2)])
    await finder.start(paused=True)
    try:
        for (partition, offset), value in [*there.items()][::7]:
            found = await finder.find(system.names.items, partition, offset)
            assert found is not None
            assert found.value == value
        assert await finder.find(system.names.items, 0, 10_000) is None
    finally:
        await finder.stop()
