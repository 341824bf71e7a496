"""Users and their windows as changelog values, and back in bulk. Knows no Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh32_intdigest

from stream_app.errors import StateError
from stream_app.events import ACTIONS, PLATFORMS
from stream_app.state.records import gathered, scatter
from stream_app.state.runs import Ints
from stream_app.state.users import BASE, UserTable
from stream_app.state.window_table import WindowTable
from stream_app.state.windows import SKETCH, WINDOW, Final

HEAD = np.dtype([("base", "u4"), ("carried", "u4"), ("row_bytes", "u4"), ("windows", "u2"), ("finals", "u2")])
"""Layout versions of both parts, then the counts of what follows the row."""
FORMER = np.dtype([("window", "i8"), ("start_ms", "i8"), ("end_ms", "i8"), ("revision", "i8")])
"""A published final of a window that was merged; `window` counts the user's windows."""
CHUNK = 16_384


@dataclass(frozen=True)
class Columns:
    """n users as they are written: what `pack` cuts into values, column after column."""

    head: NDArray[np.void]  # (n,) HEAD
    rows: NDArray[np.void]  # (n,) a user's row
    windows: NDArray[np.void]  # WINDOW, user after user, as many as the heads say
    products: NDArray[np.uint64]  # of each window as many as it holds
    finals: NDArray[np.void]  # FORMER, user after user


def columns(users: UserTable, windows: WindowTable, rows: Ints) -> Columns:
    """Copies of these users and their windows."""
    at, held = windows.walk(rows)
    bounds = np.searchsorted(at, np.arange(len(rows) + 1))
    counts = np.minimum(windows.rows["product_count"][held], SKETCH)
    head = np.empty(len(rows), HEAD)
    head["base"], head["carried"] = versions(users.rows.dtype)
    head["row_bytes"] = users.rows.dtype.itemsize
    head["windows"] = np.diff(bounds)
    owner, finals = _former(windows, at, held, bounds)
    head["finals"] = np.bincount(owner, minlength=len(rows))
    products = windows.products.flat(held, counts)
    return Columns(head, gathered(users.rows, rows), gathered(windows.rows, held), products, finals)


def pack(users: UserTable, windows: WindowTable, rows: Ints) -> list[bytes]:
    """One value per user row: HEAD, row, windows, their products, former finals."""
    if not len(rows):
        return []
    found = columns(users, windows, rows)
    each = np.arange(len(rows) + 1)
    bounds = _bounds(found.head["windows"])
    kept = np.concatenate(([0], np.cumsum(np.minimum(found.windows["product_count"], SKETCH), dtype=np.int64)))
    parts = [
        _cut(found.head, each),
        _cut(found.rows, each),
        _cut(found.windows, bounds),
        _cut(found.products, kept[bounds]),
    ]
    if len(found.finals):
        parts.append(_cut(found.finals, _bounds(found.head["finals"])))
    return list(map(b"".join, zip(*parts, strict=True)))


def _bounds(counts: NDArray[Any]) -> Ints:
    """(n + 1,) where each user's part of a column begins, and its end."""
    return np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))


def _cut(column: NDArray[Any], bounds: Ints) -> list[memoryview]:
    """The bytes of `column` between consecutive bounds."""
    whole = memoryview(column.view(np.uint8))  # type: ignore[arg-type]
    edges = (bounds * column.itemsize).tolist()
    return [whole[first:end] for first, end in pairwise(edges)]


def unpack(
    users: UserTable, windows: WindowTable, ids: Sequence[bytes], values: Sequence[bytes], *, watermark_ms: int
) -> None:
    """Append these users, and their windows that the watermark leaves within reach.

    A scorer's part of another layout comes back blank; any other difference is a StateError.
    """
    users.reserve(len(ids))
    for first in range(0, len(ids), CHUNK):
        chunk = slice(first, first + CHUNK)
        owners, head, tails = _unpack_users(users, ids[chunk], values[chunk])
        if tails:
            _unpack_windows(windows, owners, head, tails, watermark_ms)


@cache
def versions(row: np.dtype[Any]) -> tuple[int, int]:
    """Layout versions: of our part of a user's value, and of the scorer's."""
    history = row["history"].shape
    ours = (BASE.descr, history, WINDOW.descr, SKETCH, ACTIONS, PLATFORMS)
    return xxh32_intdigest(repr(ours).encode()), xxh32_intdigest(repr(row["carried"].descr).encode())


def _former(windows: WindowTable, at: Ints, held: Ints, bounds: Ints) -> tuple[Ints, NDArray[np.void]]:
    """Published finals of merged windows, with the places of their users, non-decreasing."""
    some = np.flatnonzero(np.isin(held, list(windows.former))).tolist() if windows.former else ()
    owner: list[int] = []
    finals: list[tuple[int, ...]] = []
    for one in some:
        row = int(at[one])
        for final in windows.former[int(held[one])]:
            owner.append(row)
            finals.append((one - int(bounds[row]), *final))
    return np.array(owner, np.int64), np.array(finals, FORMER)


def _unpack_users(
    users: UserTable, ids: Sequence[bytes], values: Sequence[bytes]
) -> tuple[Ints, NDArray[np.void], list[bytes]]:
    """Those with windows: their rows, heads and what follows the row."""
    dtype = users.rows.dtype
    base, carried = versions(dtype)
    if min(map(len, values)) < HEAD.itemsize:
        raise StateError("a user's record in the changelog is cut short")
    head = np.frombuffer(b"".join([value[: HEAD.itemsize] for value in values]), HEAD)
    if (head["base"] != base).any():
        raise StateError("the changelog holds users in another layout; let it be rebuilt from the inputs")
    rows = np.empty_like(users.rows, shape=len(values))
    same = head["carried"] == carried
    if not same.all():
        scatter(rows, slice(None), users.blank)
    for chosen, part in ((np.flatnonzero(same), dtype), (np.flatnonzero(~same), _ours(dtype))):
        if len(chosen):
            end = HEAD.itemsize + part.itemsize
            joined = b"".join([values[one][HEAD.itemsize : end] for one in chosen.tolist()])
            rows.view(np.uint8).reshape(len(rows), -1)[chosen, : part.itemsize] = np.frombuffer(
                joined, np.uint8
            ).reshape(len(chosen), -1)
    owners = users.load(ids, rows)
    active = np.flatnonzero(head["windows"])
    offsets = (HEAD.itemsize + head["row_bytes"].astype(np.int64)).tolist()
    tails = [values[one][offsets[one] :] for one in active.tolist()]
    return owners[active], head[active], tails


def _unpack_windows(
    windows: WindowTable, owners: Ints, head: NDArray[np.void], tails: list[bytes], watermark_ms: int
) -> None:
    counts = head["windows"].astype(np.int64)
    row_bytes = (counts * WINDOW.itemsize).tolist()
    rows = np.frombuffer(b"".join([tail[:size] for tail, size in zip(tails, row_bytes, strict=True)]), WINDOW)
    kept = np.minimum(rows["product_count"], SKETCH)
    firsts = np.cumsum(counts) - counts
    ends = (counts * WINDOW.itemsize + 8 * np.add.reduceat(kept, firsts)).tolist()
    spans = zip(tails, row_bytes, ends, strict=True)
    products = np.frombuffer(b"".join([tail[size:end] for tail, size, end in spans]), np.uint64)
    finals = np.frombuffer(b"".join([tail[end:] for tail, end in zip(tails, ends, strict=True)]), FORMER)
    _load_windows(windows, owners, Columns(head, head[:0], rows, products, finals), watermark_ms)


def load(
    users: UserTable,
    windows: WindowTable,
    ids: Sequence[bytes],
    found: Columns,
    *,
    watermark_ms: int,
    kept: NDArray[np.bool_],
) -> None:
    """Append these users but those not `kept` (n,), as `unpack` does; all in the present layout."""
    chosen = [one for one, keep in zip(ids, kept.tolist(), strict=True) if keep]
    rows = found.rows if kept.all() else gathered(found.rows, np.flatnonzero(kept))
    owners = np.full(len(ids), -1, np.int64)
    owners[kept] = users.load(chosen, rows)
    active = np.flatnonzero(found.head["windows"])
    if len(active):
        part = Columns(gathered(found.head, active), found.rows[:0], found.windows, found.products, found.finals)
        _load_windows(windows, owners[active], part, watermark_ms)


def _load_windows(windows: WindowTable, owners: Ints, found: Columns, watermark_ms: int) -> None:
    """Windows of these owners, -1: of nobody; those out of reach are left out."""
    counts = found.head["windows"].astype(np.int64)
    held = np.minimum(found.windows["product_count"], SKETCH)
    positions = np.repeat(np.arange(len(owners)), counts)
    within = windows.within_reach(found.windows["end_ms"], watermark_ms) & (owners[positions] >= 0)
    live, products = np.flatnonzero(within), found.products[np.repeat(within, held)]
    loaded = np.full(len(found.windows), -1, np.int64)
    users, place = np.unique(positions[live], return_inverse=True)
    loaded[live] = windows.load(owners[users], place, gathered(found.windows, live), products)
    firsts, owner = np.cumsum(counts) - counts, np.repeat(np.arange(len(owners)), found.head["finals"])
    for one, (at, *final) in zip(owner.tolist(), found.finals.tolist(), strict=True):
        if (window := int(loaded[firsts[one] + at])) >= 0:
            windows.former.setdefault(window, []).append(Final(*final))


def _ours(row: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype([("base", row["base"]), ("history", row["history"])])
