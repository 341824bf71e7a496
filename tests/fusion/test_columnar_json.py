"""Columns to JSON rows: what msgspec would write for the same values."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from fusion.columnar_json import Fields, Fixed, Items, Label, Number, Value, Where, rows

N = 300
LABELS = ("x", True, (1, "ü"), None)
VALUES: list[Any] = [
    {"a": [1.5, "]"], "b": {}},
    [["x,", '"'], []],
    True,
    7,
    'é"\\\n,"x",',
    "",
    "null",
    '","',
    "\\",
    "𓂀\x00",
    None,
]


def numbers(digits: int) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(digits)
    values = np.round(rng.normal(size=N) * 10.0 ** rng.integers(-digits, 12 - digits, N), digits)
    values[:6] = 0, 1, -1, 10.0**-digits, -(10.0**-digits), 1e11
    return values + 0.0  # no zero with a sign


@pytest.mark.parametrize("digits", [1, 2, 4])
def test_numbers_are_written_as_msgspec_writes_them(digits: int) -> None:
    values = numbers(digits)
    made = rows(Fields({"a": Number(values, digits=digits), "b": Number(values.astype(np.float32))}), N)
    for row, value in zip(made, values.tolist(), strict=True):
        rounded = float(np.round(np.float64(np.float32(value)), 4))
        assert row == msgspec.json.encode({"a": value, "b": rounded + 0.0})


def test_not_a_number_is_null() -> None:
    values = np.array([np.nan, 0.5, np.nan])
    assert rows(Fields({"n": Number(values)}), 3) == [b'{"n":null}', b'{"n":0.5}', b'{"n":null}']


def test_whole_numbers_of_any_size() -> None:
    values = np.array([0, 7, -7, 10, 2**63 - 1, -(2**63) + 1, 1_700_000_000_000])
    made = rows(Fields({"n": Number(values, digits=None)}), len(values))
    assert made == [b'{"n":%d}' % value for value in values]


def test_a_tree_of_everything() -> None:
    rng = np.random.default_rng(1)
    label, count, there = rng.integers(0, len(LABELS), N), rng.integers(0, 4, N), rng.random((3, N)) < 0.5
    said = [VALUES[i] for i in rng.integers(0, len(VALUES), N)]
    score = rng.random((3, N)).round(4)
    tree = Fields(
        {
            "first": Where(Value(said), there[0]),
            "none": Fields({name: Where(Fixed(name), there[i]) for i, name in enumerate(("a", "b"))}),
            "items": Items([Fields({"s": Number(score[i]), "t": Value(said), "r": Fixed(i)}) for i in range(3)], count),
            "empty": Fields({}),
            "label": Label(label, LABELS),
            "last": Where(Label(there[1], (False, True)), there[2]),
        }
    )
    for i, row in enumerate(rows(tree, N)):
        wanted: dict[str, Any] = {"first": said[i]} if there[0, i] else {}
        wanted["none"] = {name: name for at, name in enumerate(("a", "b")) if there[at, i]}
        wanted["items"] = [{"s": float(score[at, i]), "t": said[i], "r": at} for at in range(count[i])]
        wanted |= {"empty": {}, "label": LABELS[label[i]]}
        if there[2, i]:
            wanted["last"] = bool(there[1, i])
        assert row == msgspec.json.encode(wanted), i


def test_shapes_are_told_apart() -> None:
    place = np.zeros(1, np.int64)
    for values in ((True,), (1,), (1.0,), (("n",), 4)):
        assert rows(Fields({"a": Label(place, values)}), 1) == [msgspec.json.encode({"a": values[0]})]
    for digits in (None, 1, 4):
        assert rows(Fields({"a": Number(place + 2, digits=digits)}), 1) == [
            b'{"a":2}' if digits is None else b'{"a":2.0}'
        ]
    assert rows(Fields({"a": Fixed(1)}), 1) == [b'{"a":1}']
    assert rows(Fields({"a": Fixed(2)}), 1) == [b'{"a":2}']


def test_no_rows() -> None:
    assert rows(Fields({"n": Number(np.zeros(0))}), 0) == []


def test_only_a_field_can_be_absent() -> None:
    there = np.ones(1, bool)
    with pytest.raises(TypeError):
        rows(Fields({"a": Items([Where(Fixed(1), there)], there.astype(np.int64))}), 1)
