"""The last values of the keys that came last, in one block of memory.

Each a bytes object, they would lie for seconds or hours wherever a batch has just left room: at thousands of events a
second the heap is soon nothing but holes between them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock

import numpy as np

ROOM = 2_048
"""Bytes of a place; what is longer is kept as it is."""


class _Held:
    """What there is of one key: which row of the block, how many values so far, the length or the value per place."""

    __slots__ = ("count", "places", "row")

    def __init__(self, row: int, each: int) -> None:
        self.row, self.count = row, 0
        self.places: list[int | bytes] = [0] * each


class Recent:
    """Of `keys` keys `each` values at most. Memory that no value has lain in is not touched. For any thread."""

    def __init__(self, keys: int, each: int) -> None:
        self._keys, self._each = keys, each
        self._block = np.zeros(keys * each * ROOM, np.uint8).data
        self._held: OrderedDict[bytes, _Held] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._held)

    def add(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Values by key, the newest last."""
        held, each = self._held, self._each
        with self._lock:
            for key, value in pairs:
                if (one := held.get(key)) is None:
                    full = len(held) == self._keys
                    one = held[key] = _Held(held.popitem(last=False)[1].row if full else len(held), each)
                else:
                    held.move_to_end(key)
                place = one.count % each
                one.count += 1
                if len(value) <= ROOM:
                    start = (one.row * each + place) * ROOM
                    self._block[start : start + len(value)] = value
                    one.places[place] = len(value)
                else:
                    one.places[place] = value

    def of(self, key: bytes) -> list[bytes]:
        """Its values, the newest first."""
        with self._lock:
            if (one := self._held.get(key)) is None:
                return []
            newest = [number % self._each for number in range(one.count - 1, max(one.count - self._each, 0) - 1, -1)]
            return [self._value(one, place) for place in newest]

    def _value(self, one: _Held, place: int) -> bytes:
        found = one.places[place]
        if isinstance(found, bytes):
            return found
        start = (one.row * self._each + place) * ROOM
        return bytes(self._block[start : start + found])
