"""Windows by column against windows counted one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.windows.table import WindowTable

SIZE_MS = 1_000
EVENTS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9_999), st.integers(0, 50)), min_size=1, max_size=60)
Event = tuple[str, int, int]


def one_by_one(events: list[Event]) -> list[tuple[int, int, int] | None]:
    """(window start, count, sum) after each event; None: late, a newer window of its parity was there."""
    held: dict[tuple[str, int], tuple[int, int, int]] = {}
    found: list[tuple[int, int, int] | None] = []
    for key, time_ms, amount in events:
        window = time_ms // SIZE_MS
        slot = key, window % 2
        newest, count, total = held.get(slot, (-1, 0, 0))
        if window < newest:
            found.append(None)
            continue
        if window > newest:
            count = total = 0
        held[slot] = window, count + 1, total + amount
        found.append((window * SIZE_MS, count + 1, total + amount))
    return found


def by_column(table: WindowTable, events: list[Event]) -> list[tuple[int, int, int] | None]:
    keys, time_ms, amounts = zip(*events, strict=True)
    columns = np.stack([np.ones(len(events), np.int64), np.array(amounts, np.int64)])
    _, running = table.update(keys, np.array(time_ms, np.int64), columns)
    found: list[tuple[int, int, int] | None] = [None] * len(events)
    for at, start, count, total in zip(
        running.kept.tolist(), running.window_start_ms.tolist(), *running.sums.tolist(), strict=True
    ):
        found[at] = start, count, total
    return found


@settings(max_examples=300, deadline=None)
@given(EVENTS, st.integers(1, 60))
def test_columns_say_what_counting_says_wherever_batches_end(events: list[Event], size: int) -> None:
    table = WindowTable(SIZE_MS, 2)
    found = [one for at in range(0, len(events), size) for one in by_column(table, events[at : at + size])]
    assert found == one_by_one(events)


@settings(max_examples=100, deadline=None)
@given(EVENTS, EVENTS)
def test_a_restored_table_goes_on_where_the_first_was(before: list[Event], after: list[Event]) -> None:
    table, restored = WindowTable(SIZE_MS, 2), WindowTable(SIZE_MS, 2)
    by_column(table, before)
    names, packed = table.pack(np.arange(len(table)))
    restored.load(zip(names, packed, strict=True))
    assert by_column(restored, after) == one_by_one(before + after)[len(before) :]


def test_many_keys_grow_the_table() -> None:
    table = WindowTable(SIZE_MS, 2)
    events = [(f"k{at % 5_000}", 10, at) for at in range(10_000)]
    assert by_column(table, events) == one_by_one(events)
    assert len(table) == 5_000


def test_the_silent_are_forgotten_and_the_others_kept() -> None:
    table = WindowTable(SIZE_MS, 2)
    by_column(table, [("old", 100, 1), ("new", 100, 2), ("new", 5_100, 3)])
    assert table.forget(5_000) == ["old"]
    assert by_column(table, [("new", 5_200, 4), ("old", 5_300, 5)]) == [(5_000, 2, 7), (5_000, 1, 5)]
