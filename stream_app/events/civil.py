"""RFC 3339 to epoch milliseconds in machine code. Pure Python with NUMBA_DISABLE_JIT=1, with the same answers."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream_app.events.instants import INVALID

Whole = int | np.int64

ZERO, POINT, COLON, PLUS, MINUS = (ord(mark) for mark in "0.:+-")
LOWER_T, LOWER_Z, LOWER = ord("t"), ord("z"), 0x20
SECONDS, OFFSET = 19, 6
"""Characters of YYYY-MM-DDThh:mm:ss and of ±hh:mm."""
MONTH_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def two(text: NDArray[np.uint8], at: int) -> Whole:
    """The number that two digits spell; so little that no sum with it is a number where they are none."""
    tens, ones = np.int64(text[at]) - ZERO, np.int64(text[at + 1]) - ZERO
    return tens * 10 + ones if 0 <= tens <= 9 and 0 <= ones <= 9 else -1_000_000


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def days(year: Whole, month: Whole, day: Whole) -> Whole:
    """Days from 1970-01-01 (Hinnant, "chrono-Compatible Low-Level Date Algorithms": days_from_civil)."""
    year -= month <= 2
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def local(text: NDArray[np.uint8], end: int) -> Whole:
    """YYYY-MM-DDThh:mm:ss[.digits], which end there, as if in UTC; second 60 is the next minute's first."""
    if end < SECONDS or end == SECONDS + 1:
        return INVALID
    if text[4] != MINUS or text[7] != MINUS or text[10] | LOWER != LOWER_T or text[13] != COLON or text[16] != COLON:
        return INVALID
    year, month, day = two(text, 0) * 100 + two(text, 2), two(text, 5), two(text, 8)
    hour, minute, second = two(text, 11), two(text, 14), two(text, 17)
    if year < 0 or not 1 <= month <= 12 or not 0 <= hour <= 23 or not 0 <= minute <= 59 or not 0 <= second <= 60:
        return INVALID
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= day <= MONTH_DAYS[month] + leap:
        return INVALID
    thousandths: Whole = 0
    weight = 100
    if end > SECONDS:
        if text[SECONDS] != POINT:
            return INVALID
        for at in range(SECONDS + 1, end):
            digit = np.int64(text[at]) - ZERO
            if not 0 <= digit <= 9:
                return INVALID
            thousandths += digit * weight
            weight //= 10
    whole: Whole = (((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * 1000
    return whole + thousandths


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def civil(texts: NDArray[np.uint8], out: NDArray[np.int64]) -> None:
    """Texts of one length as ASCII (n, L) to epoch milliseconds (n,), fractions cut off, else INVALID."""
    length = texts.shape[1]
    for row in range(len(texts)):
        text = texts[row]
        if text[length - 1] | LOWER == LOWER_Z:
            out[row] = local(text, length - 1)
            continue
        end = length - OFFSET
        hours, minutes = two(text, end + 1), two(text, end + 4)
        signed = text[end] == PLUS or text[end] == MINUS
        there = local(text, end)
        if not signed or text[end + 3] != COLON or not 0 <= hours <= 23 or not 0 <= minutes <= 59 or there == INVALID:
            out[row] = INVALID
        else:
            away = (hours * 60 + minutes) * 60_000
            out[row] = there + away if text[end] == MINUS else there - away
