"""Set-aside records are the input, byte for byte, with headers that say why."""

from hypothesis import given
from hypothesis import strategies as st

from stream_app.errors import EventError
from stream_app.events.dead_letters import HEADERS, component_version, dead_letter
from stream_app.events.late import HEADERS as LATE_HEADERS
from stream_app.events.late import late_event
from stream_app.records import Record

RECORDS = st.builds(
    Record,
    topic=st.just("behavior.clicks"),
    partition=st.integers(0, 99),
    offset=st.integers(0, 2**62),
    timestamp=st.integers(0, 2**41),
    key=st.none() | st.binary(),
    value=st.none() | st.binary(),
    headers=st.lists(st.tuples(st.text(), st.binary())),
)
ERROR = EventError("not_finite", "Number is not finite", stage="schema", field="price")


@given(RECORDS)
def test_a_dead_letter_keeps_the_record_and_says_why(record: Record) -> None:
    letter = dead_letter(record, ERROR, topic="behavior.dead-letters", attempts=3)
    assert letter[:3] == ("behavior.dead-letters", record.key, record.value)
    assert letter.timestamp == record.timestamp
    original = len(record.headers)
    assert list(letter.headers[:original]) == list(record.headers)
    added = dict(letter.headers[original:])
    assert tuple(added) == HEADERS
    assert added == {
        "__streams.errors.topic": b"behavior.clicks",
        "__streams.errors.partition": str(record.partition).encode(),
        "__streams.errors.offset": str(record.offset).encode(),
        "__streams.errors.exception": b"stream_app.errors.EventError",
        "__streams.errors.message": b"Number is not finite",
        "__streams.errors.stacktrace": b"",
        "dlq.stage": b"schema",
        "dlq.code": b"not_finite",
        "dlq.field": b"price",
        "dlq.attempts": b"3",
        "dlq.component_version": component_version().encode(),
    }


@given(RECORDS)
def test_a_late_event_keeps_the_record_and_says_how_late(record: Record) -> None:
    late = late_event(record, topic="behavior.late-events", watermark_ms=9_000, event_time_ms=2_000, grace_ms=1_000)
    assert late[:3] == ("behavior.late-events", record.key, record.value)
    assert late.timestamp == record.timestamp
    original = len(record.headers)
    assert list(late.headers[:original]) == list(record.headers)
    added = dict(late.headers[original:])
    assert tuple(added) == LATE_HEADERS
    assert added["late.by_ms"] == b"7000"
    assert added["late.watermark_ms"] == b"9000"
    assert added["late.event_time_ms"] == b"2000"
    assert added["late.grace_ms"] == b"1000"
    assert added["late.topic"] == b"behavior.clicks"
    assert added["late.partition"] == str(record.partition).encode()
    assert added["late.offset"] == str(record.offset).encode()
