"""Rows of the windows of active users, chained per owner, and when they are due. Knows no events."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_app.state.products import Products
from stream_app.state.records import scatter
from stream_app.state.runs import Ints, starts
from stream_app.state.settings import StateSettings
from stream_app.state.windows import (
    CURRENCIES,
    EVER,
    NO_CURRENCY,
    SKETCH,
    WINDOW,
    Final,
    blank_window,
)

WORDS = WINDOW.itemsize // 8


def word(name: str) -> int:
    """Where a column is in `WindowTable.words`."""
    return int(WINDOW.fields[name][1]) // 8  # type: ignore[index]


SUM_WORDS = slice(word("counts"), word("platforms"))
"""The columns that add up: counts, then SUMS."""


class WindowTable:
    """`rows` is (capacity,) WINDOW, `words` the same memory as (capacity, WORDS) int64; a free row's owner is -1.

    `products` are the hashes of a window's items; the SKETCH smallest, in order, once there are more.
    """

    def __init__(self, settings: StateSettings, capacity: int = 1024) -> None:
        self._settings = settings
        self._blank = blank_window()
        self._top = 0
        self._free: list[int] = []
        self._next_due = self._next_free = EVER
        self.former: dict[int, list[Final]] = {}  # finals of merged windows, until superseded
        self._hold(np.zeros(capacity, WINDOW))
        self.products = Products(capacity)
        self._due = np.full(capacity, EVER, np.int64)  # end while a final record is owed
        self._free_at = np.full(capacity, EVER, np.int64)  # from then on no accepted event can reach it
        self._head = np.full(capacity, -1, np.int32)  # by user row

    def _hold(self, rows: NDArray[np.void]) -> None:
        self.rows = rows
        self.words: Ints = rows.view(np.int64).reshape(-1, WORDS)

    def __len__(self) -> int:
        return self._top - len(self._free)

    def walk(self, owners: Ints) -> tuple[Ints, Ints]:
        """All windows of these users: positions in `owners`, non-decreasing, and window rows."""
        self._reserve_owners(int(owners.max(initial=-1)) + 1)
        at, cursor = np.arange(len(owners)), self._head[owners].astype(np.int64)
        found_at, found = [], []
        while len(at := at[alive := cursor >= 0]):
            cursor = cursor[alive]
            found_at.append(at)
            found.append(cursor)
            cursor = self.rows["next"][cursor].astype(np.int64)
        if not found:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        positions, windows = np.concatenate(found_at), np.concatenate(found)
        order = np.argsort(positions, kind="stable")
        return positions[order], windows[order]

    def chain(self, owners: Ints, positions: Ints, windows: Ints) -> None:
        """Make `windows` all the windows of these users; `positions` in `owners` is non-decreasing."""
        self._reserve_owners(int(owners.max(initial=-1)) + 1)
        self._head[owners] = -1
        if not len(windows):
            return
        opening = starts(positions)
        self._head[owners[positions[opening]]] = windows[opening]
        following = np.append(windows[1:], -1)
        following[opening[1:] - 1] = -1
        self.rows["next"][windows] = following
        self.rows["owner"][windows] = owners[positions]

    def allocate(self, count: int) -> Ints:
        """Blank rows, not yet chained."""
        again = [self._free.pop() for _ in range(min(len(self._free), count))]
        windows = np.array([*again, *range(self._top, self._top + count - len(again))], np.int64)
        self._top += count - len(again)
        if self._top > len(self.rows):
            capacity = max(self._top, 2 * len(self.rows))
            rows = np.zeros(capacity, WINDOW)
            scatter(rows, slice(len(self.rows)), self.rows)
            self.products.grow(capacity)
            self._hold(rows)
            self._due = _grown(self._due, capacity, EVER)
            self._free_at = _grown(self._free_at, capacity, EVER)
        scatter(self.rows, windows, self._blank)
        return windows

    def release(self, windows: Ints) -> None:
        """Free rows that are no longer chained."""
        self.rows["owner"][windows] = -1
        self._due[windows] = self._free_at[windows] = EVER
        self.products.clear(windows)
        self._free.extend(windows.tolist())

    def schedule(self, windows: Ints) -> None:
        """These windows changed: they owe a final record at their end and can be reached until the grace is over."""
        end_ms = self.rows["end_ms"][windows]
        self._free_at[windows] = self._reachable_until(end_ms)
        due_ms = np.where(self.rows["dirty"][windows] > 0, end_ms, EVER)
        self._due[windows] = due_ms
        self._next_due = min(self._next_due, int(due_ms.min(initial=EVER)))
        self._next_free = min(self._next_free, int(self._free_at[windows].min(initial=EVER)))

    def due(self, clock_ms: int, most: int | None = None) -> Ints:
        """Windows that owe a final record, by end; the first `most` of them."""
        if clock_ms < self._next_due:
            return np.zeros(0, np.int64)
        windows = np.flatnonzero(self._due[: self._top] <= clock_ms)
        if most is not None and len(windows) > most:
            windows = np.sort(windows[np.argpartition(self._due[windows], most)[:most]])
        return windows[np.argsort(self._due[windows], kind="stable")]

    def emit(self, windows: Ints) -> dict[int, tuple[Final, ...]]:
        """These windows' final records go out now; returns, by position, what they supersede."""
        rows = self.rows
        moved = rows["revision"][windows] > 0
        moved &= (rows["emitted_start_ms"][windows] != rows["start_ms"][windows]) | (
            rows["emitted_end_ms"][windows] != rows["end_ms"][windows]
        )
        supersedes: dict[int, tuple[Final, ...]] = {}
        for at in np.flatnonzero(moved).tolist():
            window = int(windows[at])
            if finals := [*self.former.pop(window, ()), *self._emitted(window)]:
                supersedes[at] = tuple(sorted(finals))
        rows["revision"][windows] += 1
        rows["emitted_start_ms"][windows] = rows["start_ms"][windows]
        rows["emitted_end_ms"][windows] = rows["end_ms"][windows]
        rows["dirty"][windows] = 0
        self._due[windows] = EVER
        self._next_due = int(self._due[: self._top].min(initial=EVER))
        return supersedes

    def expire(self, watermark_ms: int) -> None:
        """Free windows that no accepted event can reach any more."""
        if watermark_ms < self._next_free:
            return
        gone = self._free_at[: self._top] <= watermark_ms
        windows = np.flatnonzero(gone)
        owners = np.unique(self.rows["owner"][windows]).astype(np.int64)
        positions, chained = self.walk(owners)
        kept = ~gone[chained]
        self.chain(owners, positions[kept], chained[kept])
        self.release(windows)
        self._next_free = int(self._free_at[: self._top].min(initial=EVER))

    def absorb(self, window: int, other: int) -> None:
        """Merge a session into another: counts add up, and what was published of either will be superseded."""
        into, from_ = self.rows[window], self.rows[other]
        self.words[window, SUM_WORDS] += self.words[other, SUM_WORDS]
        into["first_ms"] = min(into["first_ms"], from_["first_ms"])
        into["last_ms"] = max(into["last_ms"], from_["last_ms"])
        into["platforms"] |= from_["platforms"]
        self.add_revenue(np.full(CURRENCIES, window), from_["currency"], from_["revenue"])
        items = self.products.of(other, int(from_["product_count"]))
        self.add_product(window, items, more=bool(from_["product_count"] > SKETCH))
        former = [final for one in (window, other) for final in (*self.former.pop(one, ()), *self._emitted(one))]
        if former:
            self.former[window] = former
        into["revision"] = max(into["revision"], from_["revision"])
        into["emitted_start_ms"] = into["emitted_end_ms"] = 0  # all are in `former` now

    def add_revenue(self, windows: Ints, currency: NDArray[np.uint32], amount: Ints) -> None:
        """Add amounts (1/MONEY) to windows; a window keeps its CURRENCIES smallest codes, whatever the order."""
        bare = (currency == 0) | (currency == NO_CURRENCY)
        other = word("revenue_other")
        np.add.at(self.words[:, other], windows[bare], amount[bare])
        windows, currency, amount = windows[~bare], currency[~bare], amount[~bare]
        if not len(windows):
            return
        touched = np.unique(windows)
        owner = np.concatenate([np.repeat(touched, CURRENCIES), windows])
        code = np.concatenate([self.rows["currency"][touched].ravel(), currency])
        value = np.concatenate([self.rows["revenue"][touched].ravel(), amount])
        owner, code, value = owner[code > 0], code[code > 0], value[code > 0]
        order = np.lexsort((code, owner))
        owner, code, value = owner[order], code[order], value[order]
        first = starts(owner, code)
        owner, code, value = owner[first], code[first], np.add.reduceat(value, first)
        opening = starts(owner)
        slot = np.arange(len(owner)) - np.repeat(opening, np.diff(np.append(opening, len(owner))))
        fits = slot < CURRENCIES
        self.rows["currency"][owner[fits], slot[fits]] = code[fits]
        self.rows["revenue"][owner[fits], slot[fits]] = value[fits]
        np.add.at(self.words[:, other], owner[~fits], value[~fits])

    def add_products(self, windows: Ints, items: NDArray[np.uint64]) -> None:
        """Note items (hashes, not 0) seen in windows; most are there already."""
        count = self.rows["product_count"][windows]
        fresh = (count <= SKETCH) | (items < self.rows["kth_product"][windows])
        fresh &= ~self.products.hold(windows, items)
        windows, items = windows[fresh], items[fresh]
        if not len(windows):
            return
        order = np.lexsort((items, windows))
        windows, items = windows[order], items[order]
        first = starts(windows, items)
        windows, items = windows[first], items[first]
        opening = starts(windows)
        new = np.diff(np.append(opening, len(windows)))
        slot = np.arange(len(windows)) - np.repeat(opening, new) + self.rows["product_count"][windows]
        fits = np.repeat(slot[opening] + new <= SKETCH, new)
        self.products.put(windows[fits], slot[fits], items[fits])
        self.rows["product_count"][windows[opening]] += np.where(fits[opening], new, 0).astype(np.int32)
        for at in np.flatnonzero(~fits[opening]).tolist():
            self.add_product(int(windows[opening[at]]), items[opening[at] : opening[at] + new[at]])

    def add_product(self, window: int, items: NDArray[np.uint64], *, more: bool = False) -> None:
        """The same for one window whose sketch may overflow, or, with `more`, has lost hashes larger than these."""
        row = self.rows[window]
        count = int(row["product_count"])
        merged = np.union1d(self.products.of(window, count), items)
        kept = merged[:SKETCH]
        self.products.put(np.full(len(kept), window), np.arange(len(kept)), kept)
        if more or max(count, len(merged)) > SKETCH:
            row["product_count"], row["kth_product"] = SKETCH + 1, kept[-1]
        else:
            row["product_count"] = len(merged)

    def load(self, owners: Ints, positions: Ints, rows: NDArray[np.void], products: NDArray[np.uint64]) -> Ints:
        """Append restored windows of these users and their products; `positions` in `owners` is non-decreasing."""
        windows = self.allocate(len(rows))
        scatter(self.rows, windows, rows)
        self.products.load(windows, np.minimum(rows["product_count"], SKETCH), products)
        self.chain(owners, positions, windows)
        self.schedule(windows)
        return windows

    def within_reach(self, end_ms: Ints, watermark_ms: int) -> NDArray[np.bool_]:
        """Windows with such ends that accepted events may still change."""
        return self._reachable_until(end_ms) > watermark_ms

    def memory_bytes(self) -> int:
        """Rows in use or used before."""
        arrays = (self.rows[: self._top], self._due, self._free_at, self._head)
        return sum(array.nbytes for array in arrays) + self.products.memory_bytes(self._top)

    def _reachable_until(self, end_ms: Ints) -> Ints:
        boundary_ms = -(-end_ms // self._settings.tumbling_ms) * self._settings.tumbling_ms
        return boundary_ms + self._settings.grace_ms

    def _emitted(self, window: int) -> list[Final]:
        row = self.rows[window]
        if row["emitted_start_ms"] == row["emitted_end_ms"]:
            return []
        return [Final(int(row["emitted_start_ms"]), int(row["emitted_end_ms"]), int(row["revision"]))]

    def _reserve_owners(self, count: int) -> None:
        if count > len(self._head):
            self._head = _grown(self._head, max(count, 2 * len(self._head)), -1)


def _grown(column: NDArray[np.signedinteger], capacity: int, fill: int) -> NDArray[np.signedinteger]:
    grown = np.full(capacity, fill, column.dtype)
    grown[: len(column)] = column
    return grown
