"""The loops of columnar JSON in machine code. Pure Python with NUMBA_DISABLE_JIT=1, with the same answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

LITERAL, NUMBER, LABEL, VALUE, SKIP, CLOSE, FIXED = range(7)
"""Steps (kind, a, b, c): literal a · number of column a, b decimals, in units of 1 / c · literal b + value of column a
· value a of the row · where column a is at most c, go on after the next b steps · drop a comma and write byte a · a
fixed value, until its place among the literals is known."""
WHOLE = -1
NUMBER_BYTES = 25
"""Of the longest number: a sign, 19 digits, a point, 4 decimals."""
PIECE = 32
"""Bytes copied at a time: whatever is copied from or to must be longer by so much."""
COMMA, POINT, MINUS, ZERO, QUOTE, BACKSLASH = (ord(mark) for mark in ',.-0"\\')
OPEN, CLOSED, OPEN_OBJECT, CLOSED_OBJECT = (ord(mark) for mark in "[]{}")
NOTHING = -(1 << 63)
"""In a column of numbers: null."""
NULL = np.frombuffer(b"null" + bytes(PIECE), np.uint8)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def cut(said: NDArray[np.uint8], start: NDArray[np.int64], end: NDArray[np.int64]) -> None:
    """Where each value of a JSON list lies, quotes and brackets included."""
    at = 1
    for i in range(len(start)):
        start[i], depth = at, 0
        while depth > 0 or (said[at] != COMMA and said[at] != CLOSED):
            if said[at] == QUOTE:
                at += 1
                while said[at] != QUOTE:
                    at += 2 if said[at] == BACKSLASH else 1
            elif said[at] == OPEN or said[at] == OPEN_OBJECT:
                depth += 1
            elif said[at] == CLOSED or said[at] == CLOSED_OBJECT:
                depth -= 1
            at += 1
        end[i] = at
        at += 1


def copy(source: NDArray[np.uint8], start: int, end: int, out: NDArray[np.uint8], at: int) -> int:
    """Bytes of `source` to `out`; returns where they end there."""
    out[at : at + end - start] = source[start:end]
    return at + end - start


@intrinsic  # type: ignore[untyped-decorator]
def _move(_: Any, out: Any, at: Any, source: Any, start: Any) -> tuple[Any, Callable[..., Any]]:
    """PIECE bytes at once."""

    def write_code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        def place(array: int) -> Any:
            data = context.make_array(signature.args[array])(context, builder, given[array]).data
            piece = ir.VectorType(ir.IntType(8), PIECE).as_pointer()
            return builder.bitcast(builder.gep(data, [given[array + 1]]), piece)

        builder.store(builder.load(place(2), align=1), place(0), align=1)
        return context.get_dummy_value()

    return types.void(out, at, source, start), write_code


@overload(copy)  # type: ignore[untyped-decorator]
def _compiled(source: Any, start: Any, end: Any, out: Any, at: Any) -> Callable[..., Any]:  # noqa: ARG001
    def copied(source: Any, start: Any, end: Any, out: Any, at: Any) -> Any:
        _move(out, at, source, start)  # nearly all is of one piece
        done = PIECE
        while done < end - start:
            _move(out, at + done, source, start + done)
            done += PIECE
        return at + end - start

    return copied


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def write(
    steps: NDArray[np.int64],  # (4, s)
    literals: NDArray[np.uint8],
    literal_end: NDArray[np.int64],  # (l + 1,) the i-th lies between the i-th and the next
    numbers: NDArray[np.int64],  # (columns, n)
    values: NDArray[np.uint8],
    value_start: NDArray[np.int64],  # (columns, n)
    value_end: NDArray[np.int64],  # (columns, n)
    out: NDArray[np.uint8],  # written
    ends: NDArray[np.int64],  # (n,) written: where each row ends
) -> None:
    """All rows, one behind the other. `out` must have room for them, and everything for a PIECE more."""
    kinds, first, second, third = steps[0], steps[1], steps[2], steps[3]
    at = 0
    for row in range(len(ends)):
        step = 0
        while step < len(kinds):
            kind, a = kinds[step], first[step]
            if kind == LITERAL:
                at = copy(literals, literal_end[a], literal_end[a + 1], out, at)
            elif kind == NUMBER:
                at = _number(numbers[a, row], second[step], third[step], out, at)
            elif kind == LABEL:
                which = second[step] + numbers[a, row]
                at = copy(literals, literal_end[which], literal_end[which + 1], out, at)
            elif kind == VALUE:
                at = copy(values, value_start[a, row], value_end[a, row], out, at)
            elif kind == SKIP:
                if numbers[a, row] <= third[step]:
                    step += second[step]
            else:
                if out[at - 1] == COMMA:
                    at -= 1
                out[at] = a
                at += 1
            step += 1
        ends[row] = at


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _number(units: int, digits: int, scale: int, out: NDArray[np.uint8], at: int) -> int:
    """As Python writes it: no zeros behind the last decimal but the first."""
    if units == NOTHING:
        return copy(NULL, 0, 4, out, at)
    if units < 0:
        out[at] = MINUS
        at += 1
        units = -units
    whole = units // scale
    part = units - whole * scale
    width, rest = 1, whole // 10
    while rest:
        width += 1
        rest //= 10
    at = _digits(whole, width, out, at)
    if digits < 0:
        return at
    out[at] = POINT
    at = _digits(part, digits, out, at + 1)
    while out[at - 1] == ZERO and out[at - 2] != POINT:
        at -= 1
    return at


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _digits(value: int, width: int, out: NDArray[np.uint8], at: int) -> int:
    for place in range(width - 1, -1, -1):
        following = value // 10
        out[at + place] = ZERO + (value - following * 10)
        value = following
    return at + width
