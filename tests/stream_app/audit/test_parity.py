"""Features made again follow the recorded order, whatever the spans; what differs is found, and named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest

from stream_app.audit.answers import Reading
from stream_app.audit.history import Fetch, history
from stream_app.audit.inputs import decoded
from stream_app.audit.parity import NOTHING, Parity
from stream_app.errors import EventError
from stream_app.events import EventBatch
from stream_app.events.dead_letters import dead_letter
from stream_app.outputs.topics import TopicNames
from stream_app.producers.publish import encode
from stream_app.producers.simulate import simulate
from stream_app.records import Record, RecordLike
from stream_app.state import StateSettings, TaskState

NAMES = TopicNames()
INPUTS = (*NAMES.inputs, NAMES.repartition)
START_MS = 1_700_000_000_000
EVENTS = 200
Change = Callable[[EventBatch], EventBatch]


def arrived() -> list[Record]:
    """Shoppers of one partition, each topic with its own offsets."""
    ends = dict.fromkeys(INPUTS, 0)
    records = []
    for one in simulate(users=9, seed=6, start_ms=START_MS, events=EVENTS, images=False, duplicates=0):
        made = encode(*one)
        topic = NAMES[made.topic]
        record = Record(topic, 0, ends[topic], made.time_ms, made.key, made.value)
        if len(decoded(topic, [record], names=NAMES, at=0)[0].partial.nonzero()[0]):
            continue  # a partial transcript has no prediction
        ends[topic] += 1
        records.append(record)
    return records


def published(
    records: list[Record], *, poisoned: frozenset[int] = frozenset(), changes: dict[int, Change] | None = None
) -> Reading:
    """What a worker says of the records, in their order; `changes`: what it takes an event for."""
    reading, state, seen = Reading(NAMES), state_of(), dict.fromkeys(INPUTS, 0)
    for at, record in enumerate(records):
        events, _ = decoded(record.topic, [record], names=NAMES, at=INPUTS.index(record.topic))
        seen[record.topic] = record.offset + 1
        taken = (changes or {}).get(at, lambda same: same)(events)
        _, (digest,) = state.features(taken, state.update(taken))
        if at in poisoned:
            letter = dead_letter(record, EventError("poison", "", stage="inference"), topic=NAMES.dead_letters)
            reading.add([Record(letter.topic, 0, at, START_MS, letter.key, letter.value, letter.headers)])
            continue
        value: dict[str, Any] = {"source": events.source[0], "event_id": events.event_id[0], "positions": seen}
        value |= {"feature_digest": digest.hex()}
        reading.add([Record(NAMES.predictions, 0, at, START_MS, record.key, orjson.dumps(value))])
    return reading


def state_of() -> TaskState:
    return TaskState(StateSettings(), carried=NOTHING, history=1, inputs=len(INPUTS))


def compared(records: list[Record], reading: Reading, *, span: int = 64, chunk: int = 10) -> Parity:
    def of(topic: str) -> Fetch:
        mine: list[RecordLike] = [record for record in records if record.topic == topic]

        async def fetch() -> list[RecordLike]:
            taken, mine[:] = mine[:chunk], mine[chunk:]
            return taken

        return fetch

    async def run() -> Parity:
        answers = reading.answers()
        again = Parity(StateSettings(), 0, answers, inputs=len(INPUTS))
        async for part in history(NAMES, answers, [of(topic) for topic in INPUTS], span=span):
            again.add(part)
        return again

    return asyncio.run(run())


@pytest.mark.parametrize("span", [1, 7, 1_000])
def test_an_honest_run_is_the_same_in_any_spans_poison_included(span: int) -> None:
    records = arrived()

    again = compared(records, published(records, poisoned=frozenset((3, 50, 51, 120))), span=span)

    assert (again.compared, again.mismatch, again.first_differing) == (len(records) - 4, 0, None)


@pytest.mark.parametrize(
    ("feature", "change"),
    [
        ("price", lambda event: replace(event, price=np.array([np.nan]))),
        ("item", lambda event: replace(event, item=np.array([0], np.uint64))),
        ("dwell_ms", lambda event: replace(event, dwell_ms=event.dwell_ms + 1)),
        ("action", lambda event: replace(event, action=(event.action + 1).astype(np.uint8))),
        ("gap_ms", lambda event: replace(event, event_time_ms=event.event_time_ms + 3)),
    ],
)
def test_the_first_feature_that_a_worker_had_otherwise_is_named(feature: str, change: Change) -> None:
    records = arrived()
    at = next(i for i, r in enumerate(records) if i > 60 and b'"price":' in (r.value or b"") and later(records, i))

    again = compared(records, published(records, changes={at: change}))

    assert again.mismatch > 1  # a digest covers what came before
    assert again.first_differing is not None
    told = orjson.loads(records[at].value or b"")["event_id"]
    assert again.first_differing["event_id"] == told
    named = {"gap_ms": {"event_time_ms", "unknown"}}.get(feature, {feature})
    assert again.first_differing["feature"] in named


def later(records: list[Record], at: int) -> bool:
    """Whether the user comes back."""
    return any(record.key == records[at].key for record in records[at + 1 :])


def test_a_worker_that_had_lost_its_state_is_told_from_one_that_misread_an_event() -> None:
    records = arrived()
    whole, half = published(records).answers(), published(records[100:]).answers()
    lost = replace(whole, digest=np.concatenate([whole.digest[:100], half.digest]))

    class Lost(Reading):
        def answers(self) -> Any:
            return lost

    again = compared(records, Lost(NAMES))

    assert again.first_differing is not None
    assert again.first_differing["feature"] == "the events before it"
