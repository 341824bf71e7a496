"""Sessions as flat arrays against plain lists."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fusion.sessions import Sessions, batches, cases

lists = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=6), min_size=1, max_size=12)


def sessions_of(rows: list[list[int]]) -> Sessions:
    return Sessions(np.concatenate(rows), np.concatenate([[0], np.cumsum([len(row) for row in rows])]))


@given(lists)
def test_every_prefix_and_its_next_item_is_a_case(rows: list[list[int]]) -> None:
    made = cases(sessions_of(rows))
    expected = [(row[:k], row[k]) for row in rows for k in range(1, len(row))]
    prefix = made.prefix
    assert [
        (prefix.item[prefix.start[i] : prefix.start[i + 1]].tolist(), int(made.target[i])) for i in range(len(made))
    ] == expected
    assert made.repeated().tolist() == [target in before for before, target in expected]


@given(lists, st.integers(1, 8))
def test_the_newest_items_come_first_and_padding_last(rows: list[list[int]], width: int) -> None:
    found = sessions_of(rows).newest(width).tolist()
    assert found == [(row[::-1] + [0] * width)[:width] for row in rows]


@given(lists, st.integers(1, 20), st.booleans())
def test_batches_hold_every_session_once(rows: list[list[int]], positions: int, mixed: bool) -> None:
    made = sessions_of(rows)
    parts = list(batches(made, positions, generator=np.random.default_rng(0) if mixed else None, mixed=2))
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(rows)))
    assert all(made.length[part].sum() <= positions + made.length[part].max() for part in parts)


@given(lists, st.data())
def test_some_cases_are_the_chosen_ones(rows: list[list[int]], data: st.DataObject) -> None:
    made = cases(sessions_of([*rows, [1, 2, 3]]))
    chosen = np.array(data.draw(st.lists(st.integers(0, len(made) - 1), min_size=1)))
    some = made.some(chosen)
    assert (some.target == made.target[chosen]).all()
    assert (some.prefix.newest(6) == made.prefix.newest(6)[chosen]).all()
