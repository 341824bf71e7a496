"""Whatever the bytes: a record is accepted or refused with a known code, and a batch decodes as its records alone."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_app.events import EVENT_TYPES, EventBatch, decode
from stream_app.events.dead_letters import CODES, STAGES
from tests.stream_app.events.samples import FULL, REQUIRED, assert_same, raw, record

NUMBERS = st.sampled_from([0, -1, 1, 1.5, 2**31, 2**63, 2**64, 10**40, 1e308, float("nan"), float("inf"), -0.0])
WORDS = st.sampled_from(
    ["", " ", "guest", "\ud800", "\udc00x", "\0", "é" * 70, "😀", "x" * 129, "5", "1e3", "NaN", "9" * 19, "2026-01-05"]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | NUMBERS | WORDS | st.text(max_size=20)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["data", "word", "a"]), inner),
    max_leaves=8,
)
EVENT_TYPE = st.sampled_from(list(EVENT_TYPES))


@st.composite
def mutated_fields(draw: st.DrawFn, event_type: str) -> bytes:
    """A valid record, some of whose fields have other values, or are gone."""
    fields: dict[str, Any] = dict(draw(st.sampled_from([FULL, REQUIRED]))[event_type])
    for name in draw(st.lists(st.sampled_from([*FULL[event_type], "unknown"]), max_size=3)):
        if draw(st.integers(0, 9)):
            fields[name] = draw(VALUES)
        else:
            fields.pop(name, None)
    return json.dumps(fields, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")


@st.composite
def mutated_bytes(draw: st.DrawFn, event_type: str) -> bytes:
    """A valid record with some bytes overwritten, inserted or cut off."""
    value = bytearray(raw(draw(st.sampled_from([FULL, REQUIRED]))[event_type]))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(value)))
        value[at : at + draw(st.integers(0, 3))] = draw(
            st.binary(max_size=4) | st.sampled_from([b"[" * 99, b"NaN", b'"'])
        )
    return bytes(value)


def records(event_type: str) -> st.SearchStrategy[bytes | None]:
    valid = st.sampled_from([raw(FULL[event_type]), raw(REQUIRED[event_type])])
    return st.one_of(st.none(), st.binary(max_size=60), valid, mutated_fields(event_type), mutated_bytes(event_type))


@given(EVENT_TYPE.flatmap(lambda name: st.tuples(st.just(name), st.lists(records(name), max_size=8))))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_batch_decodes_as_its_records_alone(drawn: tuple[str, list[bytes | None]]) -> None:
    event_type, values = drawn
    batch = [record(value, offset) for offset, value in enumerate(values)]
    together = decode(batch, event_type=event_type, source_input=1)
    alone = [decode([each], event_type=event_type, source_input=1) for each in batch]

    accepted = together.events.offset.tolist()
    refused = [rejected.record.offset for rejected in together.rejected]
    assert sorted(accepted + refused) == list(range(len(values)))
    assert accepted == sorted(accepted)
    assert refused == sorted(refused)
    if values:
        assert_same(together.events, EventBatch.concat([each.events for each in alone]))
    errors = [rejected.error for each in alone for rejected in each.rejected]
    for rejected, expected in zip(together.rejected, errors, strict=True):
        error = rejected.error
        assert vars(error) == vars(expected)
        assert error.code in CODES
        assert error.stage in STAGES
        error.message.encode()
        error.field.encode()


@pytest.mark.parametrize("event_type", EVENT_TYPES)
@pytest.mark.parametrize(
    "value",
    [
        b"[" * 1_000_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 60_000,
        b"\x00" * 1_000_000,
        b'"' * 1_000_000,
        b'{"event_id": "' + b"x" * 1_000_000 + b'"}',
        b'{"event_time": ' + b"9" * 200_000 + b"}",
        b'{"price": NaN, "x": "' + b'\\"' * 120_000 + b'"}',
        b"{" + b'"a": NaN,' * 29_000 + b'"b": 1}',
    ],
    ids=lambda value: value[:12].decode() + f" {len(value)}",
)
def test_large_hostile_values_are_refused(event_type: str, value: bytes) -> None:
    result = decode([record(value)], event_type=event_type, source_input=0)
    assert len(result.rejected) == 1
