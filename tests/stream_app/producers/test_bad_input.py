"""Every bad record is refused for the reason it was made for."""

from collections import Counter

import pytest

from stream_app.events import EVENT_TYPES, decode
from stream_app.producers.bad_input import Bad, bad_records, with_bad
from stream_app.producers.publish import Encoded
from stream_app.records import Record

CODES = {"malformed_json", "schema_violation", "size_violation", "future_timestamp", "illegal_identity", "not_finite"}


def name(bad: Bad) -> str:
    return f"{bad.event_type}-{bad.code}-{bad.field}-{(bad.value or b'null')[:40]!r}"


@pytest.mark.parametrize("bad", [b for b in bad_records() if b.code != "future_timestamp"], ids=name)
def test_decode_refuses_it_with_its_code_and_field(bad: Bad) -> None:
    record = Record(f"t.{bad.event_type}", 0, 0, 0, bad.key, bad.value)
    decoded = decode([record], event_type=bad.event_type, source_input=0)
    assert [(r.error.code, r.error.field) for r in decoded.rejected] == [(bad.code, bad.field)]


def test_there_is_a_bad_record_of_every_code_for_every_type() -> None:
    kinds = {(b.event_type, b.code) for b in bad_records()}
    assert {code for _, code in kinds} == CODES
    for event_type in EVENT_TYPES:
        assert {code for kind, code in kinds if kind == event_type} >= CODES - {"not_finite"}


def test_bad_records_are_mixed_in_and_the_good_ones_stay() -> None:
    good = [Encoded("clicks", b"u", b"%d" % i, i) for i in range(2_000)]
    mixed = list(with_bad(good, 0.1, seed=1))
    assert [e for e in mixed if e.key == b"u"] == good
    assert mixed == list(with_bad(good, 0.1, seed=1))
    assert 120 < Counter(e.key for e in mixed)[b"bad-input"] < 300
