"""Times as producers send them to int64 epoch milliseconds, a column at a time."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

INVALID = np.iinfo(np.int64).min

Times = NDArray[np.int64]
Bytes = NDArray[np.uint8]

DIGITS = (0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18)  # of YYYY-MM-DDThh:mm:ss
MAX_DIGITS = 15  # of epoch milliseconds until the year 9999
SHORTEST = 20  # YYYY-MM-DDThh:mm:ssZ


def milliseconds(values: Sequence[str | int]) -> Times:
    """Epoch milliseconds (n,), fractions cut off; INVALID where not RFC 3339 with offset, nor digits."""
    if set(map(type, values)) == {str} and len(set(map(len, values))) == 1 and "".join(values).isascii():  # type: ignore[arg-type]
        return same_length(values, len(values[0]))  # type: ignore[arg-type]
    out = np.full(len(values), INVALID, np.int64)
    texts: dict[int, list[tuple[int, str]]] = {}  # by length
    for index, value in enumerate(values):
        if isinstance(value, int):
            out[index] = value
        elif value.isascii():
            texts.setdefault(len(value), []).append((index, value))
    for length, placed in texts.items():
        out[[index for index, _ in placed]] = same_length([text for _, text in placed], length)
    return out


def same_length(texts: Sequence[str], length: int) -> Times:
    """ASCII texts of one length (n,) to epoch milliseconds (n,)."""
    if length <= MAX_DIGITS:
        return np.array([int(text) if text.isdigit() else INVALID for text in texts], np.int64)
    if length < SHORTEST:
        return np.full(len(texts), INVALID, np.int64)
    return civil(np.frombuffer("".join(texts).encode(), np.uint8).reshape(-1, length))


def civil(text: Bytes) -> Times:
    """RFC 3339 texts of one length as ASCII (n, L) to epoch milliseconds (n,); INVALID where they are not."""
    zulu = (text[:, -1] | 0x20) == ord("z")
    out = np.empty(len(text), np.int64)
    if zulu.any():
        out[zulu] = local(text[zulu, :-1])
    if not zulu.all():
        out[~zulu] = shifted(text[~zulu])
    return out


def shifted(text: Bytes) -> Times:
    """Texts that end in ±hh:mm."""
    sign, zone = text[:, -6], text[:, -5:] - np.uint8(48)
    hours, minutes = two(zone, 0), two(zone, 3)
    good = (zone[:, [0, 1, 3, 4]] <= 9).all(1) & (text[:, -3] == ord(":")) & (hours <= 23) & (minutes <= 59)
    good &= (sign == ord("+")) | (sign == ord("-"))
    away = np.where(sign == ord("-"), -1, 1) * (hours * 60 + minutes) * 60_000
    there = local(text[:, :-6])
    return np.where(good & (there != INVALID), there - away, INVALID)


def local(text: Bytes) -> Times:
    """Texts YYYY-MM-DDThh:mm:ss[.digits] as if in UTC; second 60 is the next minute's first."""
    if text.shape[1] == 20 or text.shape[1] < 19:
        return np.full(len(text), INVALID, np.int64)
    digit = text - np.uint8(48)  # others wrap to more than 9
    good = (digit[:, DIGITS] <= 9).all(1) & ((text[:, 10] | 0x20) == ord("t"))
    good &= (text[:, [4, 7]] == ord("-")).all(1) & (text[:, [13, 16]] == ord(":")).all(1)
    digit[~good] = 0
    year, month, day = two(digit, 0) * 100 + two(digit, 2), two(digit, 5), two(digit, 8)
    hour, minute, second = two(digit, 11), two(digit, 14), two(digit, 17)
    good &= (month >= 1) & (month <= 12) & (hour <= 23) & (minute <= 59) & (second <= 60)
    months = (year - 1970) * 12 + np.clip(month, 1, 12) - 1
    first = days(months)
    good &= (day >= 1) & (day <= days(months + 1) - first)
    out = ((((first + day - 1) * 24 + hour) * 60 + minute) * 60 + second) * 1000
    if text.shape[1] > 20:
        good &= (text[:, 19] == ord(".")) & (digit[:, 20:] <= 9).all(1)
        for place, weight in zip(range(20, min(23, text.shape[1])), (100, 10, 1), strict=False):
            out += digit[:, place].astype(np.int64) * weight
    return np.where(good, out, INVALID)


def two(digit: Bytes, place: int) -> Times:
    """The number that two digits (n, L) from `place` on spell."""
    return digit[:, place].astype(np.int64) * 10 + digit[:, place + 1]


def days(months: Times) -> Times:
    """Days from 1970-01-01 to the first day of the month so many months after January 1970."""
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
