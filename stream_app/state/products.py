"""The products of windows: most have a few, so only those with more get room for SKETCH of them. Knows no windows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_app.state.runs import Ints
from stream_app.state.windows import SKETCH

FEW = 8
Hashes = NDArray[np.uint64]


class Products:
    """Item hashes (never 0) by window row; slots fill from the left, how many do is the caller's to know."""

    def __init__(self, capacity: int) -> None:
        self._few = np.zeros((capacity, FEW), np.uint64)
        self._many = np.zeros((64, SKETCH), np.uint64)
        self._place = np.full(capacity, -1, np.int32)  # in `_many`; -1: all are in `_few`
        self._top = 0
        self._free: list[int] = []

    def memory_bytes(self, windows: int) -> int:
        """With so many windows in use."""
        return self._few[:windows].nbytes + self._many[: self._top].nbytes + self._place.nbytes

    def grow(self, capacity: int) -> None:
        """Room for so many windows."""
        few, place = np.zeros((capacity, FEW), np.uint64), np.full(capacity, -1, np.int32)
        few[: len(self._few)], place[: len(self._place)] = self._few, self._place
        self._few, self._place = few, place

    def clear(self, windows: Ints) -> None:
        """These windows have none."""
        self._few[windows] = 0
        place = self._place[windows]
        if (wide := place[place >= 0]).size:
            self._many[wide] = 0
            self._free.extend(wide.tolist())
            self._place[windows] = -1

    def hold(self, windows: Ints, items: Hashes) -> NDArray[np.bool_]:
        """(n,) which item its window holds already."""
        place = self._place[windows]
        wide = place >= 0
        held: NDArray[np.bool_] = (self._few[windows] == items[:, None]).any(axis=1)
        if wide.any():
            held[wide] = (self._many[place[wide]] == items[wide, None]).any(axis=1)
        return held

    def put(self, windows: Ints, slots: Ints, items: Hashes) -> None:
        """Write (n,) items; windows are non-decreasing, no slot twice."""
        self._widen(windows[slots >= FEW])
        place = self._place[windows]
        wide = place >= 0
        narrow = ~wide
        self._few[windows[narrow], slots[narrow]] = items[narrow]
        self._many[place[wide], slots[wide]] = items[wide]

    def of(self, window: int, count: int) -> Hashes:
        """A window's items."""
        place = int(self._place[window])
        row: Hashes = self._few[window] if place < 0 else self._many[place]
        return row[: min(count, SKETCH)]

    def flat(self, windows: Ints, counts: NDArray[Any]) -> Hashes:
        """Copies, window after window, as many as `counts` (n,) says."""
        place = self._place[windows]
        wide = place >= 0
        if not wide.any():
            found: Hashes = self._few[windows][np.arange(FEW) < counts[:, None]]
            return found
        flat = np.empty(int(counts.sum()), np.uint64)
        mine = np.repeat(wide, counts)
        flat[mine] = self._many[place[wide]][np.arange(SKETCH) < counts[wide, None]]
        flat[~mine] = self._few[windows[~wide]][np.arange(FEW) < counts[~wide, None]]
        return flat

    def load(self, windows: Ints, counts: NDArray[Any], flat: Hashes) -> None:
        """What `flat` gave, for windows that have none."""
        firsts = np.cumsum(counts) - counts
        slots = np.arange(len(flat)) - np.repeat(firsts, counts)
        self.put(np.repeat(windows, counts), slots, flat)

    def _widen(self, windows: Ints) -> None:
        new = np.unique(windows[self._place[windows] < 0])
        if not len(new):
            return
        again = [self._free.pop() for _ in range(min(len(self._free), len(new)))]
        fresh = range(self._top, self._top + len(new) - len(again))
        self._top = fresh.stop
        if self._top > len(self._many):
            many = np.zeros((max(self._top, 2 * len(self._many)), SKETCH), np.uint64)
            many[: len(self._many)] = self._many
            self._many = many
        place = np.array([*again, *fresh], np.int32)
        self._many[place, :FEW] = self._few[new]
        self._place[new] = place
