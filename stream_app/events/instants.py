"""Times as producers send them to int64 epoch milliseconds, a column at a time."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

INVALID = np.iinfo(np.int64).min

Times = NDArray[np.int64]

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
    from stream_app.events.civil import civil  # brings a compiler along: if needed

    out = np.empty(len(texts), np.int64)
    civil(np.frombuffer("".join(texts).encode(), np.uint8).reshape(-1, length), out)
    return out
