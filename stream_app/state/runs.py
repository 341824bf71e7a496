"""Runs and running values over sorted columns: the arithmetic that sessions are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def starts(*columns: NDArray[Any]) -> Ints:
    """Positions where a run of equal values begins; at least one element, all columns of one length."""
    new = np.ones(len(columns[0]), np.bool_)
    new[1:] = columns[0][1:] != columns[0][:-1]
    for column in columns[1:]:
        new[1:] |= column[1:] != column[:-1]
    return new.nonzero()[0]


def ends(first: Ints, n: int) -> Ints:
    """Where the runs that begin at `first` end (exclusive)."""
    return np.append(first[1:], n)


def running_maximum(values: Ints, segment: Ints) -> Ints:
    """The largest value so far within each segment; `segment` is non-decreasing and not negative."""
    low, high = int(values.min()), int(values.max())
    span = high - low + 1
    if span * (int(segment[-1]) + 1) >= 1 << 62:  # times far apart: rank them
        ranks, inverse = np.unique(values, return_inverse=True)
        found: Ints = ranks[running_maximum(inverse, segment)]
        return found
    offset = segment * span - low
    return np.maximum.accumulate(values + offset) - offset


def groups(segment: Ints, start: Ints, last: Ints, gap: Ints) -> tuple[Ints, Ints]:
    """Join intervals of one segment that are less than the gap apart.

    Returns the order by (segment, start) and, in that order, the group of each interval.
    """
    order = np.lexsort((start, segment))
    ordered = segment[order]
    reach = running_maximum(last[order], ordered)
    apart = np.zeros(len(order), np.int64)
    apart[1:] = (ordered[1:] != ordered[:-1]) | (start[order[1:]] - reach[:-1] >= gap[order[1:]])
    return order, np.cumsum(apart)
