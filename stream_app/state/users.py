"""One row per user: counters, carries, the last events and the scorer's own part. Knows no windows."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion.features import NO_ACTION
from stream_app.state.records import scatter
from stream_app.state.windows import SCORES, blank_scores

DIGEST_BYTES = 16
SIGNAL_SLOTS = 24
"""Room for signals to come."""
BASE = np.dtype(
    [
        ("events", "i8"),  # accepted so far; 0: the row is free
        ("first_seen_ms", "i8"),  # event time of the first applied event
        ("last_seen_ms", "i8"),  # largest event time
        ("search_hash", "u8"),  # of the previous search
        ("search_ms", "i8"),
        ("click_item", "u8"),  # of the previous click
        ("click_ms", "i8"),
        ("click_run", "i4"),  # clicks on that item so far, see sequences.raging
        ("clicked", "u1"),  # since the previous search
        ("searching", "u1"),  # since the last search nothing was looked at
        ("rated", "i1"),  # last clear stars: -1 bad, 1 good, 0 none yet
        ("", "u1", (1,)),
        ("rated_ms", "i8"),
        ("scores", SCORES),  # after the last event
        ("sentiment", "f4"),  # last score, NaN before the user has said anything
        ("", "u1", (4,)),
        ("signalled_s", "u4", (SIGNAL_SLOTS,)),  # event time of the last signal of each kind, 0: never
        ("digest", "u1", (DIGEST_BYTES,)),  # of the whole chain of events
    ]
)
WHEN_SHIFT = 8
"""History packs event time << 8 | action: one gather instead of two."""


def row_dtype(carried: np.dtype[Any], history: int) -> np.dtype[Any]:
    """BASE, the last `history` events as (item, when), newest last, and the scorer's part; a multiple of 8 bytes."""
    parts: list[Any] = [("base", BASE), ("history", "i8", (history, 2)), ("carried", carried)]
    if pad := -carried.itemsize % 8:
        parts.append(("pad", "u1", (pad,)))
    return np.dtype(parts)


class UserTable:
    """User id → row of one structured array that grows by doubling; freed rows are used again."""

    def __init__(self, dtype: np.dtype[Any], capacity: int = 1024) -> None:
        self.blank = np.zeros((), dtype)
        self.blank["base"]["scores"] = blank_scores()
        self.blank["base"]["sentiment"] = np.nan
        self.blank["history"][:, 1] = NO_ACTION
        self.rows = np.zeros(capacity, dtype)
        self.ids: list[bytes] = []  # by row; of a freed row the last owner's
        self._index: dict[bytes, int] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._index)

    def find(self, user: bytes) -> int | None:
        """The user's row, if there is one."""
        return self._index.get(user)

    def rows_of(self, users: Sequence[bytes]) -> NDArray[np.int64]:
        """(n,) rows, blank ones for new users."""
        index = self._index
        found = [index.get(user, -1) for user in users]
        if -1 in found:
            self._add(list(dict.fromkeys(user for user, row in zip(users, found, strict=True) if row < 0)))
            found = [index[user] for user in users]
        return np.array(found, np.int64)

    def free(self, rows: NDArray[np.int64]) -> list[bytes]:
        """Forget these users; returns their ids."""
        gone = [self.ids[row] for row in rows.tolist()]
        for user in gone:
            del self._index[user]
        scatter(self.rows, rows, self.blank)
        self._free.extend(rows.tolist())
        return gone

    def unseen_since(self, time_ms: int) -> NDArray[np.int64]:
        """Rows of users whose last event is at or before that event time."""
        base = self.rows["base"][: len(self.ids)]
        return np.flatnonzero((base["events"] > 0) & (base["last_seen_ms"] <= time_ms))

    def load(self, users: Sequence[bytes], rows: NDArray[np.void]) -> NDArray[np.int64]:
        """Append restored users; returns their rows."""
        first = len(self.ids)
        self.reserve(first + len(users))
        scatter(self.rows, slice(first, first + len(users)), rows)
        self.ids.extend(users)
        self._index.update(zip(users, range(first, first + len(users)), strict=True))
        return np.arange(first, first + len(users))

    def memory_bytes(self) -> int:
        """Rows in use or used before, index and ids, about; a table grows into memory that is not touched yet."""
        ids = sum(map(sys.getsizeof, self.ids[:100])) * len(self.ids) // max(1, min(100, len(self.ids)))
        return self.rows[: len(self.ids)].nbytes + sys.getsizeof(self._index) + sys.getsizeof(self.ids) + ids

    def _add(self, users: list[bytes]) -> None:
        again = [self._free.pop() for _ in range(min(len(self._free), len(users)))]
        fresh = range(len(self.ids), len(self.ids) + len(users) - len(again))
        self.reserve(fresh.stop)
        for row, user in zip(again, users, strict=False):
            self.ids[row] = user
        self.ids.extend(users[len(again) :])
        rows = [*again, *fresh]
        scatter(self.rows, rows, self.blank)
        self._index.update(zip(users, rows, strict=True))

    def reserve(self, count: int) -> None:
        """Make room for so many rows."""
        if count > len(self.rows):
            grown = np.empty_like(self.rows, shape=max(count, 2 * len(self.rows)))
            scatter(grown, slice(len(self.rows)), self.rows)
            self.rows = grown
