"""Depth and size, counted on bytes."""

import json
import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stream_app.events.limits import MAX_BYTES, MAX_DEPTH, depth, within

JSON = st.recursive(
    st.none() | st.integers() | st.text('ab"\\[]{}é'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a"\\[{'), inner, max_size=3),
    max_leaves=30,
)


def nesting(value: Any) -> int:
    """By recursion, the way that the code must not."""
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(nesting, value), default=0) if isinstance(value, list) else 0


@given(JSON, st.booleans())
def test_depth_is_that_of_the_brackets_outside_strings(value: Any, ascii_only: bool) -> None:
    record = {"a": value}
    assert depth(json.dumps(record, ensure_ascii=ascii_only).encode()) == nesting(record)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=300))
def test_a_batch_is_within_the_limits_if_each_record_is(depths: list[int]) -> None:
    values = [b'{"a":' * n + b"1" + b"}" * n for n in depths]
    assert within(values) == all(n <= MAX_DEPTH for n in depths)


def test_size_and_encoding_are_limits_too() -> None:
    assert within([b'{"a": "' + "é".encode() + b'"}', b" " * MAX_BYTES])
    assert not within([b" " * (MAX_BYTES + 1)])
    assert not within([b"{}", b'{"a": "\xff"}'])


def test_hostile_records_take_linear_time() -> None:
    hostile = [b'"\\' * (MAX_BYTES // 2), b'\\"' * (MAX_BYTES // 2), b'"' * MAX_BYTES, b"[" * MAX_BYTES, b'"[' * 99_999]
    started = time.perf_counter()
    for value in hostile:
        depth(value)
    assert time.perf_counter() - started < 2  # quadratic time would be hours
