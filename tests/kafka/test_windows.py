"""The windows application and its benchmark on a real broker."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest

from stream_app.broker import EmbeddedBroker
from stream_app.records import Record, RecordLike
from stream_app.settings import Broker
from stream_app.transport.log_reader import read_all
from tests.benchmarks.windows import OURS, fill
from tests.benchmarks.windows_truth import FIELDS, judge
from tests.benchmarks.windows_turn import Running, create_topic, turn
from tests.kafka.workers import forget_offsets, until

pytestmark = pytest.mark.kafka
EVENTS = 4_000


async def read(broker: Broker, topic: str) -> list[RecordLike]:
    return await read_all(broker, [(topic, p) for p in range(2)])


async def more_than(broker: Broker, known: int) -> int | None:
    """How many counts are committed, once they are more than known."""
    found = len(await read(broker, "counts"))
    return found if found > known else None


def planted(event_id: str, values: Sequence[object]) -> RecordLike:
    """An output record that says this."""
    value = {"event_id": event_id} | dict(zip(FIELDS, values, strict=True))
    return Record("counts", 0, 0, 0, None, orjson.dumps(value))


async def test_a_turn_of_ours_answers_every_event_rightly(own_broker: EmbeddedBroker, tmp_path: Path) -> None:
    broker = Broker(url=own_broker.url)
    assert own_broker.pid is not None
    expected = await fill(broker, "clicks", EVENTS, 2)
    found = await turn(
        OURS, broker, own_broker.pid, source="clicks", partitions=2, expected=expected, folder=tmp_path, name="ours",
        limit_s=60,
    )  # fmt: skip
    assert (found.events, found.wrong, found.complete) == (EVENTS, 0, True)
    assert found.cpu_us_per_event > 0
    assert found.peak_mib > 10


async def test_kills_lose_nothing_and_repeat_nothing(own_broker: EmbeddedBroker, tmp_path: Path) -> None:
    broker = Broker(url=own_broker.url)
    expected = await fill(broker, "clicks", 40 * EVENTS, 2)
    await create_topic(broker, "counts", 2)
    begun = 0
    for _ in range(2):
        running = Running(OURS, broker, source="clicks", output="counts", name="ours", folder=tmp_path)
        try:
            begun = await until(lambda at=begun: more_than(broker, at), deadline_s=60, every_s=0.01)
        finally:
            os.kill(running.pid, signal.SIGKILL)
            running.stop()
        assert begun < len(expected), "it was through before it was killed"
    running = Running(OURS, broker, source="clicks", output="counts", name="ours", folder=tmp_path)
    try:
        await until(lambda: more_than(broker, len(expected) - 1), deadline_s=60)
    finally:
        running.stop()
    outputs = await read(broker, "counts")
    verdict = judge(expected, outputs, complete=True)
    assert (verdict.wrong, verdict.outputs) == (0, len(expected))


async def test_a_group_whose_offsets_the_broker_lost_reads_on_from_where_the_counts_are(
    own_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    broker = Broker(url=own_broker.url)
    expected = await fill(broker, "clicks", 20 * EVENTS, 2)
    await create_topic(broker, "counts", 2)
    for wanted in (2 * EVENTS, len(expected)):
        running = Running(OURS, broker, source="clicks", output="counts", name="ours", folder=tmp_path)
        try:
            await until(lambda at=wanted: more_than(broker, at - 1), deadline_s=60, every_s=0.01)
        finally:
            running.stop()
        await forget_offsets(broker, "ours")
    assert "the group's offsets are behind the state" in running.log_file.read_text()
    verdict = judge(expected, await read(broker, "counts"), complete=True)
    assert (verdict.wrong, verdict.outputs) == (0, len(expected))


async def test_the_checker_finds_what_is_planted(own_broker: EmbeddedBroker) -> None:
    broker = Broker(url=own_broker.url)
    expected = await fill(broker, "clicks", 200, 2)
    right = [planted(event_id, values) for event_id, values in expected.items()]
    assert judge(expected, right, complete=True).wrong == 0
    event_id, (user, start, count, *rest) = next(iter(expected.items()))
    altered = planted(event_id, (user, start, count + 1, *rest))
    assert judge(expected, [altered, *right[1:]], complete=True).different == 1
    assert judge(expected, [*right, right[3]], complete=True).repeated == 1
    assert judge(expected, right[1:], complete=True).missing == 1
    assert judge(expected, [*right, planted("nobody", expected[event_id])], complete=True).unknown == 1
