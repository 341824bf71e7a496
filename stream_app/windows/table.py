"""Tumbling event-time windows by column: sums per key, running sums per event. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from stream_app.state.runs import running_maximum, starts

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
EMPTY = np.int64(-(1 << 62))
"""Window of a slot that has none."""


@dataclass(frozen=True)
class Running:
    """What each event of a batch that is not late left its window at."""

    kept: NDArray[np.intp]  # (m,) positions in the batch, ascending
    window_start_ms: Ints  # (m,)
    sums: Ints  # (measures, m)


class WindowTable:
    """Sums of the newest window of each parity of every key: the open window and the one before stay writable.

    An event is late when a newer window has taken the place of its own, which depends on the order of a key's events
    alone, never on where batches end. A key holds 2 × (1 + measures) integers; `forget` frees those that fell silent.
    """

    def __init__(self, size_ms: int, measures: int) -> None:
        self._size_ms = size_ms
        self._measures = measures
        self._rows = _Rows()
        self._slots = np.zeros((0, 1 + measures), np.int64)  # (2 × capacity, window and sums)
        self._grow(1 << 10)

    def __len__(self) -> int:
        return len(self._rows)

    def update(self, keys: Sequence[str], time_ms: Ints, amounts: Ints) -> tuple[NDArray[np.intp], Running]:
        """Add the events in order; `amounts` is (measures, n), n at least one. Returns each event's row too."""
        rows = np.fromiter(map(self._rows.__getitem__, keys), np.intp, len(keys))
        if len(self._rows) * 2 > len(self._slots):
            self._grow(len(self._rows))
        window = time_ms // self._size_ms
        slot = rows * 2 + (window & 1)
        order = np.argsort(slot, kind="stable")
        late = self._late(slot[order], window[order])
        if late.any():
            order = order[~late]
        if not len(order):
            return rows, Running(order, np.zeros(0, np.int64), np.zeros((self._measures, 0), np.int64))
        sums = np.empty((self._measures, len(rows)), np.int64)
        sums[:, order] = self._add(slot[order], window[order], amounts[:, order])
        kept = np.sort(order) if late.any() else np.arange(len(rows))
        return rows, Running(kept, window[kept] * self._size_ms, sums[:, kept])

    def pack(self, rows: NDArray[np.intp]) -> tuple[list[str], list[bytes]]:
        """Keys of these rows and the bytes that `load` takes, for a changelog."""
        keys = self._rows.names(rows)
        data, width = self._slots.reshape(-1, 2, 1 + self._measures)[rows].tobytes(), 16 * (1 + self._measures)
        return keys, [data[at : at + width] for at in range(0, len(data), width)]

    def load(self, pairs: Iterable[tuple[str, bytes]]) -> None:
        """Take keys up again as `pack` gave them."""
        keys, values = zip(*pairs, strict=True)
        rows = np.fromiter(map(self._rows.__getitem__, keys), np.intp, len(keys))
        if len(self._rows) * 2 > len(self._slots):
            self._grow(len(self._rows))
        packed = np.frombuffer(b"".join(values), np.int64).reshape(-1, 2, 1 + self._measures)
        self._slots.reshape(-1, 2, 1 + self._measures)[rows] = packed

    def forget(self, before_ms: int) -> list[str]:
        """Free the keys whose windows all ended by then; returns them. The others move to new rows."""
        ends_ms = (self._slots[: 2 * len(self._rows), 0].reshape(-1, 2).max(axis=1) + 1) * self._size_ms
        silent = ends_ms <= before_ms
        gone, kept = np.flatnonzero(silent), np.flatnonzero(~silent)
        names, slots = self._rows.names(gone), self._slots.reshape(-1, 2, 1 + self._measures)[kept]
        left = self._rows.names(kept)
        self._rows = _Rows(zip(left, range(len(left)), strict=True))
        self._slots = np.zeros((0, 1 + self._measures), np.int64)
        self._grow(max(len(left), 1 << 10))
        self._slots[: 2 * len(left)] = slots.reshape(-1, 1 + self._measures)
        return names

    def _late(self, slot: Ints, window: Ints) -> Bools:
        """Of events ordered by slot: a newer window was seen in the slot before."""
        late: Bools = window < self._slots[slot, 0]
        if late.any() or ((slot[1:] == slot[:-1]) & (window[1:] < window[:-1])).any():
            newest = np.maximum(window, self._slots[slot, 0])
            late = window < running_maximum(newest, np.cumsum(np.diff(slot, prepend=slot[0]) != 0))
        return late

    def _add(self, slot: Ints, window: Ints, amounts: Ints) -> Ints:
        """Running sums of events ordered by slot and, within one, by window; the slots hold the last of them after."""
        first = starts(slot, window)
        totals = np.cumsum(amounts, axis=1)
        held = self._slots[slot[first]]  # (runs, 1 + measures)
        carried = np.where(held[:, 0] == window[first], held[:, 1:].T, 0)
        lengths = np.diff(first, append=len(slot))
        totals += np.repeat(carried - totals[:, first] + amounts[:, first], lengths, axis=1)
        last = np.flatnonzero(np.append(slot[1:] != slot[:-1], True))
        self._slots[slot[last], 0] = window[last]
        self._slots[slot[last], 1:] = totals[:, last].T
        return totals

    def _grow(self, rows: int) -> None:
        fresh = np.zeros((4 * rows - len(self._slots), 1 + self._measures), np.int64)
        fresh[:, 0] = EMPTY
        self._slots = np.concatenate([self._slots, fresh])


class _Rows(dict[str, int]):
    """Key → row; an unknown key gets the next one."""

    def __missing__(self, key: str) -> int:
        row = self[key] = len(self)
        return row

    def names(self, rows: NDArray[np.intp]) -> list[str]:
        """Keys of these rows."""
        if not hasattr(self, "_names"):
            self._names: list[str] = []
        self._names += islice(self, len(self._names), None)
        return [self._names[row] for row in rows.tolist()]
