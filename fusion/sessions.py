"""Sessions of items as flat arrays, and the cases that the next item is judged by. Knows no files and no clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Sessions:
    """s sessions one after another, in time order; items are rows 1..V of a catalogue, 0 is an item unknown to it."""

    item: Rows  # (n,)
    start: Rows  # (s + 1,) session k is item[start[k]:start[k + 1]]

    def __len__(self) -> int:
        return len(self.start) - 1

    @property
    def length(self) -> Rows:
        """(s,) items of each."""
        return np.diff(self.start)

    def between(self, first: int, last: int) -> Sessions:
        """Sessions first..last - 1."""
        start = self.start[first : last + 1]
        return Sessions(self.item[start[0] : start[-1]], start - start[0])

    def blocks(self, size: int) -> Iterator[Sessions]:
        """All, so many at a time."""
        for first in range(0, len(self), size):
            yield self.between(first, min(first + size, len(self)))

    def padded(self, chosen: Rows, *, width: int | None = None) -> Rows:
        """(b, w) rows of the chosen sessions, first item first, 0 behind the end."""
        length = self.length[chosen]
        place = np.arange(int(length.max(initial=0)) if width is None else width)
        inside = place < length[:, None]
        return np.where(inside, self.item[np.where(inside, self.start[chosen][:, None] + place, 0)], 0)

    def newest(self, width: int) -> Rows:
        """(s, width) rows of the last items, newest first, 0 beyond the first item."""
        back = np.arange(1, width + 1)
        inside = back <= self.length[:, None]
        return np.where(inside, self.item[np.where(inside, self.start[1:][:, None] - back, 0)], 0)


@dataclass(frozen=True)
class Cases:
    """n prefixes of sessions and the item that followed each."""

    prefix: Sessions
    target: Rows  # (n,) row, 0 where the catalogue does not know it

    def __len__(self) -> int:
        return len(self.target)

    def some(self, chosen: Rows) -> Cases:
        """The chosen ones."""
        length = self.prefix.length[chosen]
        start = np.concatenate([[0], np.cumsum(length)])
        place = np.arange(start[-1]) - np.repeat(start[:-1], length) + np.repeat(self.prefix.start[chosen], length)
        return Cases(Sessions(self.prefix.item[place], start), self.target[chosen])

    def repeated(self) -> NDArray[np.bool_]:
        """(n,) whether the target stands in its prefix."""
        of = np.repeat(np.arange(len(self)), self.prefix.length)
        same = self.prefix.item == self.target[of]
        return (np.bincount(of[same], minlength=len(self)) > 0) & (self.target > 0)


def cases(sessions: Sessions) -> Cases:
    """Every prefix of at least one item, with its next item."""
    length = sessions.length
    count = (length - 1).clip(0)  # cases of each session
    of = np.repeat(np.arange(len(sessions)), count)
    size = np.arange(len(of)) - np.repeat(np.cumsum(count) - count, count) + 1  # (n,) items of each prefix
    start = np.concatenate([[0], np.cumsum(size)])
    place = np.arange(start[-1]) - np.repeat(start[:-1], size) + np.repeat(sessions.start[of], size)
    return Cases(Sessions(sessions.item[place], start), sessions.item[sessions.start[of] + size])


def batches(
    sessions: Sessions, positions: int, *, generator: np.random.Generator | None = None, mixed: int = 64
) -> Iterator[Rows]:
    """Session numbers by batches of about so many items, alike in length; in random order when there is a generator."""
    length = sessions.length
    order = np.arange(len(sessions)) if generator is None else generator.permutation(len(sessions))
    if generator is None:
        order = order[np.argsort(length, kind="stable")]
        mixed = int(length.sum()) + 1
    filled = np.cumsum(length[order])
    for part in np.split(order, np.flatnonzero(np.diff(filled // (positions * mixed))) + 1):
        alike = part[np.argsort(length[part], kind="stable")]
        cuts = np.flatnonzero(np.diff(np.cumsum(length[alike]) // positions)) + 1
        found = np.split(alike, cuts)
        if generator is not None:
            generator.shuffle(found)
        yield from found
