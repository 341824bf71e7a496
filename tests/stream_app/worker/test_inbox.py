"""The merge of a task's inputs."""

from typing import Any

import numpy as np
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.events import decode
from stream_app.events.batch import EventBatch
from stream_app.records import Record
from stream_app.worker.inbox import Arrival, Inbox

KINDS = ("clicks", "searches", "reviews", "voice-transcripts")
BODY: dict[str, dict[str, Any]] = {
    "clicks": {"action": "view", "product_id": "p"},
    "searches": {"query": "q"},
    "reviews": {"product_id": "p", "rating": 4},
    "voice-transcripts": {"transcript": "t"},
}


def record(at: int, offset: int, time_ms: int | None) -> Record:
    """A record of input `at`; without a time it is broken."""
    value = (
        b"{"
        if time_ms is None
        else orjson.dumps(
            {"event_id": f"{at}-{offset}", "event_time": time_ms + 1_700_000_000_000, "user_id": "u", **BODY[KINDS[at]]}
        )
    )
    return Record(KINDS[at], 0, offset, 0, b"u", value)


def arrival(at: int, records: list[Record], acked: list[tuple[int, int]] | None = None) -> Arrival:
    decoded = decode(records, event_type=KINDS[at], source_input=at)
    bad = {one.record.offset for one in decoded.rejected}
    kept = np.empty(len(decoded.events), object)
    kept[:] = [r for r in records if r.offset not in bad]
    last = records[-1].offset
    ack = (lambda: None) if acked is None else (lambda: acked.append((at, last)))
    return Arrival(at, decoded.events, kept, decoded.rejected, last, ack)


def ids(events: EventBatch | None) -> list[str]:
    return [] if events is None else list(events.event_id)


logs = st.lists(st.lists(st.one_of(st.none(), st.integers(0, 50)), max_size=12), min_size=4, max_size=4)


def drained(log: list[list[int | None]], limit: int, cuts: int) -> tuple[list[str], dict[int, int], list[str]]:
    """The merged order with batches of `limit` and fetches of `cuts` records that come in one at a time."""
    inbox = Inbox(4)
    pending = [
        (at, [record(at, offset, log[at][offset]) for offset in range(start, min(start + cuts, len(log[at])))])
        for at in range(4)
        for start in range(0, len(log[at]), cuts)
    ]
    order: list[str] = []
    rejected: list[str] = []
    positions: dict[int, int] = {}
    while pending or len(inbox):
        expecting = sorted({at for at, _ in pending})
        taken = inbox.take(limit, expecting)
        if taken is None:
            at, records = pending.pop(0)
            inbox.push(arrival(at, records), 0.0)
            continue
        order += ids(taken.events)
        rejected += [f"{at}-{one.record.offset}" for at, one in taken.rejected]
        positions |= taken.positions
    return order, positions, sorted(rejected)


@settings(deadline=None)
@given(logs, st.integers(1, 9), st.integers(1, 5))
def test_the_merged_order_depends_on_the_log_alone(log: list[list[int | None]], limit: int, cuts: int) -> None:
    order, positions, rejected = drained(log, limit, cuts)

    keys = []
    for at, times in enumerate(log):
        highest = 0
        for offset, time in enumerate(times):
            if time is not None:
                highest = max(highest, time)
                keys.append((highest, at, offset))
    assert order == [f"{at}-{offset}" for _, at, offset in sorted(keys)]
    assert positions == {at: len(times) for at, times in enumerate(log) if times}
    assert rejected == sorted(
        f"{at}-{i}" for at, times in enumerate(log) for i, time in enumerate(times) if time is None
    )


def test_a_fetch_is_acked_when_its_last_record_is_taken() -> None:
    acked: list[tuple[int, int]] = []
    inbox = Inbox(4)
    inbox.push(arrival(0, [record(0, i, i) for i in range(3)], acked), 0.0)

    first, second = inbox.take(2), inbox.take(2)

    assert first is not None
    assert second is not None
    assert (first.positions, first.acks) == ({0: 2}, [])
    second.acks[0]()
    assert acked == [(0, 2)]
    assert len(inbox) == 0
    assert inbox.arrived_s is None


def test_a_broken_record_is_released_with_its_neighbours_and_never_before_them() -> None:
    inbox = Inbox(4)
    inbox.push(arrival(0, [record(0, 0, 1), record(0, 1, None), record(0, 2, 2)]), 0.0)

    first, second = inbox.take(1), inbox.take(1)

    assert first is not None
    assert second is not None
    assert ([r.record.offset for _, r in first.rejected], first.positions) == ([1], {0: 2})
    assert (second.rejected, second.positions) == ([], {0: 3})


def test_only_broken_records_still_move_the_offsets() -> None:
    inbox = Inbox(4)
    inbox.push(arrival(2, [record(2, 7, None), record(2, 8, None)]), 0.0)

    taken = inbox.take(10)

    assert taken is not None
    assert taken.events is None
    assert taken.positions == {2: 9}
    assert len(taken.rejected) == 2
