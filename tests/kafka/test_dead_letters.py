"""Dead letters come back as the records they were; replaying twice predicts once."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_app.broker import EmbeddedBroker
from stream_app.demo.stack import worker_environment
from stream_app.producers.publish import encode
from stream_app.records import OutputRecord
from stream_app.transport.loader import Loader
from tests.kafka.workers import System, settings_for, until

HOUR_MS = 3_600_000
TOO_FAR_MS = HOUR_MS + 8_000


@pytest.fixture
def system(broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path) -> Iterator[System]:
    running = System(settings_for(broker.url, topic_prefix, tmp_path), tmp_path)
    yield running
    running.stop()


async def command(system: System, *arguments: str) -> Any:
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "stream_app", "dead-letters", *arguments, "--json"],
        env=worker_environment(system.settings),
        capture_output=True,
        check=True,
    )
    return orjson.loads(ended.stdout)


async def send(system: System, *records: OutputRecord) -> None:
    loader = Loader(system.settings.broker)
    await loader.start()
    await loader.send(records)
    await loader.stop()


async def test_what_was_refused_is_found_and_replaying_it_twice_predicts_it_once(system: System) -> None:
    await system.create_topics()
    worker = system.start_worker()
    await until(lambda: '"assigned"' in worker.log_file.read_text())
    ahead = {"event_id": "ahead", "user_id": "ann", "action": "view", "product_id": "p1"}
    early = encode("clicks", ahead | {"event_time": time.time_ns() // 1_000_000 + TOO_FAR_MS})
    clicks = system.names["clicks"]
    await send(
        system,
        OutputRecord(clicks, early.key, early.value, [("trace", b"7")]),
        OutputRecord(clicks, b"bob", b"{no json", [("trace", b"8")]),
    )
    await until(lambda: _count(system, "dead-letters", 2), deadline_s=60)

    listed = await command(system, "list")
    malformed = await command(system, "list", "--filter", "code=malformed_json")
    shown = await command(system, "show", malformed[0]["letter"])
    tried = await command(system, "replay", "--filter", "code=future_timestamp", "--dry-run")

    assert {one["code"] for one in listed} == {"malformed_json", "future_timestamp"}
    assert all("ann" not in str(one) for one in listed)
    assert shown["value"] == "{no json"
    assert shown["headers"] == [["trace", "8"]]
    assert tried == {"matched": 1, "replayed": 0}
    assert len(await system.read("clicks")) == 2

    await until(lambda: time.time_ns() // 1_000_000 > early.time_ms - HOUR_MS)  # no longer too far ahead
    for _ in range(2):
        assert await command(system, "replay", "-f", "code=future_timestamp") == {"matched": 1, "replayed": 1}
    await until(lambda: _count(system, "predictions", 1), deadline_s=30)

    original, *copies = [record for record in await system.read("clicks") if record.value == early.value]
    assert len(copies) == 2
    for copy in copies:
        assert (copy.key, copy.headers, copy.timestamp, copy.partition) == (
            original.key,
            original.headers,
            original.timestamp,
            original.partition,
        )
    account = await system.account(deadline_s=20)
    assert (account.predictions, account.duplicates, account.repeated) == (1, 1, 0)


async def _count(system: System, topic: str, count: int) -> bool:
    return len(await system.read(topic)) >= count
