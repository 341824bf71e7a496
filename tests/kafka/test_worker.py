"""One worker on a real broker: bad input, wrong keys, silence, operations."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from stream_app.broker import EmbeddedBroker
from stream_app.producers.bad_input import bad_records
from stream_app.producers.publish import Encoded, encode
from stream_app.records import OutputRecord
from stream_app.transport.loader import Loader
from stream_app.worker.routing import partition_of
from tests.kafka.workers import System, get, settings_for, until, url_of

WINDOWS = {
    "STATE__SESSION_GAP_MS": "3000",
    "STATE__TUMBLING_MS": "2000",
    "STATE__GRACE_MS": "1000",
    "STATE__BOUND_MS": "500",
}
CODECS = (None, "gzip", "snappy", "lz4", "zstd")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """One worker for the module; tests use users of their own."""
    folder: Path = tmp_path_factory.mktemp("worker")
    running = System(settings_for(broker.url, "worker-tests.", folder), folder, WINDOWS)
    await running.create_topics()
    running.start_worker()
    yield running
    running.stop()


pytestmark = pytest.mark.asyncio(loop_scope="module")


def click(name: str, user: str, **fields: Any) -> dict[str, Any]:
    now_ms = time.time_ns() // 1_000_000
    return {"event_id": name, "event_time": now_ms, "user_id": user, "action": "view", "product_id": "p1", **fields}


async def predicted(system: System, user: str) -> list[dict[str, Any]]:
    found = [orjson.loads(r.value or b"") for r in await system.read("predictions") if r.key == user.encode()]
    return sorted(found, key=lambda one: one["positions"][system.names["clicks"]])


async def wait_predicted(system: System, user: str, count: int) -> list[dict[str, Any]]:
    async def enough() -> list[dict[str, Any]] | None:
        found = await predicted(system, user)
        return found if len(found) >= count else None

    answer: list[dict[str, Any]] = await until(enough)
    return answer


async def test_bad_records_are_dead_lettered_byte_for_byte_and_their_neighbours_are_predicted(system: System) -> None:
    bad = list(bad_records())
    stream: list[Encoded] = []
    for number, one in enumerate(bad):
        stream.append(Encoded(one.event_type, one.key, one.value, 0))
        stream.append(encode("clicks", click(f"good-{number}", "neighbour")))
    await system.send(stream)

    await wait_predicted(system, "neighbour", len(bad))

    def code(headers: Any) -> str:
        return dict(headers)["dlq.code"].decode()

    async def all_there() -> Any:
        letters = [r for r in await system.read("dead-letters") if r.key == b"bad-input"]
        return letters if len(letters) >= len(bad) else None

    letters = await until(all_there)
    got = sorted((r.value or b"", code(r.headers)) for r in letters)
    assert got == sorted((one.value or b"", one.code) for one in bad)
    for letter in letters:
        headers = dict(letter.headers)
        assert headers["__streams.errors.topic"].decode() in system.names.inputs
        assert headers["dlq.stage"]
    assert system.workers[0].log_file.read_text().count('"serving"') == 1, "the worker was started again"


@pytest.mark.parametrize("codec", CODECS)
async def test_every_compression_codec_is_read(system: System, codec: str | None) -> None:
    user = f"codec-{codec}"
    producer = AIOKafkaProducer(bootstrap_servers=system.settings.broker.url, compression_type=codec)
    await producer.start()
    try:
        for number in range(20):
            value = orjson.dumps(click(f"{user}-{number}", user))
            await producer.send(system.names["clicks"], value, key=user.encode())
    finally:
        await producer.stop()

    assert len(await wait_predicted(system, user, 20)) == 20


async def test_a_record_under_a_wrong_key_reaches_its_users_state_once(system: System) -> None:
    user, partitions = "routed-user", system.settings.topics.partitions
    home = partition_of(user.encode(), partitions)
    loader = Loader(system.settings.broker)
    await loader.start()
    try:
        await loader.send(
            [
                OutputRecord(
                    system.names["clicks"], key, orjson.dumps(click(f"routed-{number}", user)), partition=partition
                )
                for number, (key, partition) in enumerate(
                    [
                        (user.encode(), home),
                        (b"somebody else", home),
                        (None, (home + 1) % partitions),
                        (user.encode(), (home + 2) % partitions),
                    ]
                )
            ]
        )
    finally:
        await loader.stop()

    found = await wait_predicted(system, user, 4)
    await asyncio.sleep(1)
    assert {one["event_id"] for one in found} == {f"routed-{number}" for number in range(4)}
    assert len(await predicted(system, user)) == 4
    records = [r for r in await system.read("predictions") if r.key == user.encode()]
    assert {r.partition for r in records} == {home}
    flagged = {one["event_id"] for one in found if "wrong_key_routed" in one["quality_flags"]}
    assert flagged == {"routed-1", "routed-2", "routed-3"}


async def test_a_silent_users_session_closes_without_a_further_event(system: System) -> None:
    user = "silent"
    await system.send([encode("clicks", click("silent-1", user))])

    async def closed() -> Any:
        records = [orjson.loads(r.value or b"") for r in await system.read("engagement") if r.key == user.encode()]
        return [r for r in records if r["window"]["is_final"] and r["window"]["type"] == "session"]

    finals = await until(closed, deadline_s=30)

    assert finals[0]["revision"] == 1
    assert finals[0]["counts"]["view"] == 1
    assert finals[0]["window"]["end"] > finals[0]["event_time"]


async def test_late_events_go_to_their_topic_unchanged(system: System) -> None:
    now_ms = time.time_ns() // 1_000_000
    late = click("late-1", "latecomer", event_time=now_ms - 3_600_000)
    partition = partition_of(b"latecomer", system.settings.topics.partitions)
    pace = next(
        f"pace{i}"
        for i in range(1000)
        if partition_of(f"pace{i}".encode(), system.settings.topics.partitions) == partition
    )
    await system.send([encode("clicks", click("pace-1", pace))])
    await wait_predicted(system, pace, 1)
    await asyncio.sleep(1.5)  # the other inputs go idle, so that the watermark follows the clicks
    await system.send([encode("clicks", click("pace-2", pace))])
    await wait_predicted(system, pace, 2)
    sent = encode("clicks", late)
    await system.send([sent])

    async def set_aside() -> Any:
        return [r for r in await system.read("late-events") if r.key == b"latecomer"]

    records = await until(set_aside)
    assert [r.value for r in records] == [sent.value]
    assert int(dict(records[0].headers)["late.by_ms"]) > 3_000_000
    assert await predicted(system, "latecomer") == []


async def test_a_prediction_has_every_field_of_the_contract(system: System) -> None:
    user = "contract"
    await system.send(
        [
            encode("clicks", click("contract-1", user, category="dress", price=10.5, currency="EUR")),
            encode(
                "reviews",
                {
                    "event_id": "contract-2",
                    "event_time": time.time_ns() // 1_000_000,
                    "user_id": user,
                    "product_id": "p1",
                    "rating": 5,
                    "review_body": "I love it, wonderful quality and a perfect fit",
                },
            ),
        ]
    )
    predictions = await wait_predicted(system, user, 2)
    review = next(one for one in predictions if one["event_id"] == "contract-2")
    outputs = review["outputs"]

    assert set(outputs) == {"purchase", "churn", "next_action", "recommendations", "sentiment", "segment", "anomaly"}
    assert 0 <= outputs["purchase"]["score"] <= 1
    assert set(review["modalities"]) == {"behavior", "text"}
    assert sum(review["modalities"].values()) == pytest.approx(1)
    assert set(review["positions"]) >= set(system.names.inputs)
    assert review["tier"] == "full"
    assert {"queue", "inference", "total"} == set(review["latency_ms"])
    click_made = next(one for one in predictions if one["event_id"] == "contract-1")["outputs"]
    assert "sentiment" not in click_made


async def test_metrics_health_and_the_users_state_are_served(system: System) -> None:
    await system.send([encode("clicks", click("served-1", "served"))])
    await wait_predicted(system, "served", 1)
    url = await until(lambda: url_of(system.workers[0]))

    assert get(f"{url}/healthz")[0] == 200
    assert get(f"{url}/readyz")[0] == 200
    status, body = get(f"{url}/v1/users/served")
    assert (status, orjson.loads(body)["events"]) == (200, 1)
    assert get(f"{url}/v1/users/stranger")[0] == 404
    text = get(f"{url}/metrics")[1].decode()
    for name in (
        "behavior_records_consumed_total",
        "behavior_end_to_end_latency_seconds_bucket",
        "behavior_state_rows",
    ):
        assert name in text
    assert get(f"{url}/")[0] == 200


async def test_sigterm_ends_the_worker_within_ten_seconds(broker: EmbeddedBroker, tmp_path: Path) -> None:
    system = System(settings_for(broker.url, "sigterm-test.", tmp_path), tmp_path)
    worker = system.start_worker()
    await until(lambda: '"assigned"' in worker.log_file.read_text())
    started_s = time.monotonic()

    await asyncio.to_thread(worker.stop)

    assert worker.process is not None
    assert worker.process.returncode == 0
    assert time.monotonic() - started_s < 10


async def test_sigterm_ends_a_worker_whose_broker_is_gone(own_broker: EmbeddedBroker, tmp_path: Path) -> None:
    system = System(settings_for(own_broker.url, "orphan-test.", tmp_path), tmp_path)
    worker = system.start_worker()
    await until(lambda: '"assigned"' in worker.log_file.read_text())
    own_broker.kill()
    started_s = time.monotonic()

    await asyncio.to_thread(worker.stop)

    assert time.monotonic() - started_s < 11


async def test_inputs_that_are_not_co_partitioned_stop_the_start_up(broker: EmbeddedBroker, tmp_path: Path) -> None:
    settings = settings_for(broker.url, "uneven-test.", tmp_path)
    uneven = settings.model_copy(update={"topics": settings.topics.model_copy(update={"partitions": 2})})
    await System(uneven, tmp_path).create_topics()
    worker = System(settings, tmp_path).start_worker()

    await until(lambda: worker.process is not None and worker.process.poll() is not None)

    assert worker.process is not None
    assert worker.process.returncode == 2
    assert "has 2 partitions, not 4" in worker.log_file.read_text()


async def test_the_worker_takes_as_many_partitions_as_the_inputs_have(broker: EmbeddedBroker, tmp_path: Path) -> None:
    settings = settings_for(broker.url, "adopted-test.", tmp_path, partitions=3)
    await System(settings, tmp_path).create_topics()
    unsaid = settings.model_copy(update={"topics": settings.topics.model_copy(update={"partitions": 0})})
    system = System(unsaid, tmp_path)
    worker = system.start_worker()

    await until(lambda: '"partitions":[0,1,2]' in worker.log_file.read_text())

    await asyncio.to_thread(worker.stop)
