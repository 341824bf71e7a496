"""Two workers share the users; either answers for all of them, and insights are the same at both."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import jsonschema  # type: ignore[import-untyped]
import orjson
import pytest
from aiohttp import ClientSession

from stream_app.broker import EmbeddedBroker
from stream_app.producers.publish import encode
from stream_app.producers.simulate import simulate
from stream_app.web.openapi import openapi
from tests.kafka.workers import System, settings_for, until

START_MS = 1_700_000_000_000


@pytest.fixture
def system(broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path) -> Iterator[System]:
    more = {"INSIGHTS__MIN_USERS": "2", "INSIGHTS__WINDOW_MS": "86400000", "WEB__TOKEN": "secret"}
    running = System(settings_for(broker.url, topic_prefix, tmp_path), tmp_path, more)
    yield running
    running.stop()


def url_of(log: Path) -> str:
    found = re.findall(r'"url": ?"(http[^"]+)"', log.read_text())
    assert found
    return str(found[-1])


async def test_any_worker_answers_for_every_user(system: System) -> None:
    await system.create_topics()
    workers = [system.start_worker(), system.start_worker()]
    await until(lambda: all('"assigned"' in worker.log_file.read_text() for worker in workers), deadline_s=60)
    await system.send([encode(*one) for one in simulate(users=60, seed=3, start_ms=START_MS, events=3_000)])
    result = await system.account()
    assert result.balanced
    users = sorted({(record.key or b"").decode() for record in await system.read("predictions")})
    urls = [url_of(worker.log_file) for worker in workers]
    assert len(set(urls)) == 2
    async with ClientSession(headers={"Authorization": "Bearer secret"}) as session:

        async def ask(url: str, path: str) -> tuple[int, dict[str, object]]:
            async with session.get(url + path) as answer:
                return answer.status, orjson.loads(await answer.read())

        async def reached() -> bool:
            """The last insights and owners, both workers."""
            insights = [await ask(url, "/v1/insights?windows=9") for url in urls]
            found = [await ask(url, f"/v1/users/{quote(user, safe='')}") for url in urls for user in users]
            told = bool(insights[0][1]["insights"]) and insights[0] == insights[1]
            return told and {status for status, _ in found} == {200}

        await until(reached, deadline_s=120)
        answers = [[await ask(url, f"/v1/users/{quote(user, safe='')}") for user in users] for url in urls]
        assert {status for status, _ in [*answers[0], *answers[1]]} == {200}
        assert [found["events"] for _, found in answers[0]] == [found["events"] for _, found in answers[1]]
        assert all(found["why"]["modalities"] for _, found in answers[0])  # type: ignore[index]
        told = [await ask(url, f"/v1/recommendations/{quote(users[0], safe='')}") for url in urls]
        assert told[0] == told[1]
        documented = openapi()["components"]
        for name, (_, answer) in (("User", answers[0][0]), ("Recommendations", told[0])):
            schema = {"$ref": f"#/components/schemas/{name}", "components": documented}
            jsonschema.Draft202012Validator(schema).validate(answer)
        insights = [await ask(url, "/v1/insights?windows=9") for url in urls]
        assert insights[0] == insights[1]
        assert insights[0][1]["insights"]
        assert (await ask(urls[0], "/v1/users/nobody"))[0] == 404
