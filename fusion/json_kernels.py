"""The loops of columnar JSON in machine code. Pure Python with NUMBA_DISABLE_JIT=1, with the same answers."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

LITERAL, NUMBER, LABEL, TEXT, SKIP, CLOSE = range(6)
"""Steps (kind, a, b, c): literal a · number of column a with b decimals · literal b + value of column a · text of
column a · where column a is at most c, go on after the next b steps · drop a comma and write byte a."""
WHOLE = -1
NUMBER_BYTES = 22
"""Of the longest number: a sign, 19 digits, a point, and a zero."""
COMMA, POINT, MINUS, ZERO, QUOTE, BACKSLASH = (ord(mark) for mark in ',.-0"\\')


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def cut(said: NDArray[np.uint8], start: NDArray[np.int64], end: NDArray[np.int64]) -> None:
    """Where each text of a JSON list of strings and nulls lies, quotes included."""
    at = 1
    for i in range(len(start)):
        start[i] = at
        if said[at] == QUOTE:
            at += 1
            while said[at] != QUOTE:
                at += 2 if said[at] == BACKSLASH else 1
            at += 1
        else:
            at += 4
        end[i] = at
        at += 1


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def write(
    steps: NDArray[np.int64],  # (s, 4)
    literals: NDArray[np.uint8],
    literal_end: NDArray[np.int64],  # (l + 1,) the i-th lies between the i-th and the next
    numbers: NDArray[np.int64],  # (columns, n) in units of their last decimal
    texts: NDArray[np.uint8],
    text_start: NDArray[np.int64],  # (columns, n)
    text_end: NDArray[np.int64],  # (columns, n)
    out: NDArray[np.uint8],  # written
    ends: NDArray[np.int64],  # (n,) written: where each row ends
) -> None:
    """All rows, one behind the other. `out` must have room for them."""
    at = 0
    for row in range(len(ends)):
        step = 0
        while step < len(steps):
            kind, a, b = steps[step, 0], steps[step, 1], steps[step, 2]
            if kind == LITERAL:
                at = _copy(literals, literal_end[a], literal_end[a + 1], out, at)
            elif kind == NUMBER:
                at = _number(numbers[a, row], b, out, at)
            elif kind == LABEL:
                which = b + numbers[a, row]
                at = _copy(literals, literal_end[which], literal_end[which + 1], out, at)
            elif kind == TEXT:
                at = _copy(texts, text_start[a, row], text_end[a, row], out, at)
            elif kind == SKIP:
                if numbers[a, row] <= steps[step, 3]:
                    step += b
            else:
                if out[at - 1] == COMMA:
                    at -= 1
                out[at] = a
                at += 1
            step += 1
        ends[row] = at


@njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _copy(source: NDArray[np.uint8], start: int, end: int, out: NDArray[np.uint8], at: int) -> int:
    for i in range(end - start):
        out[at + i] = source[start + i]
    return at + end - start


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _number(units: int, digits: int, out: NDArray[np.uint8], at: int) -> int:
    """As Python writes it: no zeros behind the last decimal but the first."""
    if units < 0:
        out[at] = MINUS
        at += 1
        units = -units
    whole, part = units, 0
    if digits > 0:
        scale = 1
        for _ in range(digits):
            scale *= 10
        whole = units // scale
        part = units - whole * scale
    width, rest = 1, whole // 10
    while rest:
        width += 1
        rest //= 10
    for place in range(at + width - 1, at - 1, -1):
        following = whole // 10
        out[place] = ZERO + (whole - following * 10)
        whole = following
    at += width
    if digits < 0:
        return at
    out[at] = POINT
    at += 1
    if part == 0:
        out[at] = ZERO
        return at + 1
    while part % 10 == 0:
        part //= 10
        digits -= 1
    for place in range(at + digits - 1, at - 1, -1):
        following = part // 10
        out[place] = ZERO + (part - following * 10)
        part = following
    return at + digits
