"""Users and their windows as changelog values, and back in bulk. Knows no Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh32_intdigest

from stream_app.errors import StateError
from stream_app.events import ACTIONS, PLATFORMS
from stream_app.state.runs import Ints
from stream_app.state.users import BASE, UserTable
from stream_app.state.window_table import WindowTable
from stream_app.state.windows import SKETCH, WINDOW, Final

HEAD = np.dtype([("base", "u4"), ("carried", "u4"), ("row_bytes", "u4"), ("windows", "u2"), ("finals", "u2")])
"""Layout versions of both parts, then the counts of what follows the row."""
CORE = int(WINDOW.fields["products"][1])  # type: ignore[index]
"""Bytes of a window without its products, which follow packed."""
FORMER = np.dtype([("window", "i8"), ("start_ms", "i8"), ("end_ms", "i8"), ("revision", "i8")])
"""A published final of a window that was merged; `window` counts the user's windows."""
CHUNK = 16_384


def pack(users: UserTable, windows: WindowTable, rows: Ints) -> list[bytes]:
    """One value per user row: HEAD, row, windows, their products, former finals."""
    if not len(rows):
        return []
    at, held = windows.walk(rows)
    bounds = np.searchsorted(at, np.arange(len(rows) + 1))
    counts = np.minimum(windows.rows["product_count"][held], SKETCH)
    products = windows.rows["products"][held][np.arange(SKETCH) < counts[:, None]].tobytes()
    product_bounds = (np.concatenate(([0], np.cumsum(counts))) * 8)[bounds].tolist()
    core = windows.rows.view(np.uint8).reshape(-1, WINDOW.itemsize)[held, :CORE].tobytes()
    core_bounds = (bounds * CORE).tolist()
    finals = _former(windows, at, held, bounds)
    head = np.zeros(len(rows), HEAD)
    head["base"], head["carried"] = versions(users.rows.dtype)
    head["row_bytes"] = users.rows.dtype.itemsize
    head["windows"] = np.diff(bounds)
    for row, packed in finals.items():
        head["finals"][row] = len(packed) // FORMER.itemsize
    whole = np.empty(len(rows), np.dtype([("head", HEAD), ("row", users.rows.dtype)]))
    whole["head"], whole["row"] = head, users.rows[rows]
    packed, size = whole.tobytes(), whole.dtype.itemsize
    values = [
        packed[one * size : (one + 1) * size]
        + core[core_bounds[one] : core_bounds[one + 1]]
        + products[product_bounds[one] : product_bounds[one + 1]]
        for one in range(len(rows))
    ]
    for row, tail in finals.items():
        values[row] += tail
    return values


def unpack(users: UserTable, windows: WindowTable, ids: Sequence[bytes], values: Sequence[bytes]) -> None:
    """Append these users. A scorer's part of another layout comes back blank; else it is a StateError."""
    for first in range(0, len(ids), CHUNK):
        _unpack(users, windows, ids[first : first + CHUNK], values[first : first + CHUNK])


def versions(row: np.dtype[Any]) -> tuple[int, int]:
    """Layout versions: of our part of a user's value, and of the scorer's."""
    history = row["history"].shape
    ours = (BASE.descr, history, WINDOW.descr, SKETCH, ACTIONS, PLATFORMS)
    return xxh32_intdigest(repr(ours).encode()), xxh32_intdigest(repr(row["carried"].descr).encode())


def _former(windows: WindowTable, at: Ints, held: Ints, bounds: Ints) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for one in np.flatnonzero(np.isin(held, list(windows.former))).tolist() if windows.former else ():
        row = int(at[one])
        finals = [(one - int(bounds[row]), *final) for final in windows.former[int(held[one])]]
        found[row] = found.get(row, b"") + np.array(finals, FORMER).tobytes()
    return found


def _unpack(users: UserTable, windows: WindowTable, ids: Sequence[bytes], values: Sequence[bytes]) -> None:
    dtype = users.rows.dtype
    base, carried = versions(dtype)
    if min(map(len, values)) < HEAD.itemsize:
        raise StateError("a user's record in the changelog is cut short")
    head = np.frombuffer(b"".join([value[: HEAD.itemsize] for value in values]), HEAD)
    if (head["base"] != base).any():
        raise StateError("the changelog holds users in another layout; let it be rebuilt from the inputs")
    rows = np.full(len(values), users.blank)
    same = head["carried"] == carried
    for chosen, part in ((np.flatnonzero(same), dtype), (np.flatnonzero(~same), _ours(dtype))):
        if len(chosen):
            end = HEAD.itemsize + part.itemsize
            joined = np.frombuffer(b"".join([values[one][HEAD.itemsize : end] for one in chosen.tolist()]), part)
            for name in part.names or ():
                rows[name][chosen] = joined[name]
    owners = users.load(ids, rows)
    active = np.flatnonzero(head["windows"])
    offsets = (HEAD.itemsize + head["row_bytes"].astype(np.int64)).tolist()
    tails = [values[one][offsets[one] :] for one in active.tolist()]
    _unpack_windows(windows, owners[active], head[active], tails)


def _unpack_windows(windows: WindowTable, owners: Ints, head: NDArray[np.void], tails: list[bytes]) -> None:
    if not tails:
        return
    counts = head["windows"].astype(np.int64)
    core_bytes = (counts * CORE).tolist()
    joined = np.frombuffer(b"".join([tail[:size] for tail, size in zip(tails, core_bytes, strict=True)]), np.uint8)
    rows = np.zeros(int(counts.sum()), WINDOW)
    rows.view(np.uint8).reshape(-1, WINDOW.itemsize)[:, :CORE] = joined.reshape(-1, CORE)
    kept = np.minimum(rows["product_count"], SKETCH)
    firsts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    ends = [
        size + 8 * products for size, products in zip(core_bytes, np.add.reduceat(kept, firsts).tolist(), strict=True)
    ]
    spans = zip(tails, core_bytes, ends, strict=True)
    products = np.frombuffer(b"".join([tail[size:end] for tail, size, end in spans]), np.uint64)
    mask = np.arange(SKETCH) < kept[:, None]
    padded = np.zeros(mask.shape, np.uint64)
    padded[mask] = products
    rows["products"] = padded
    found = windows.load(owners, np.repeat(np.arange(len(owners)), counts), rows)
    for one in np.flatnonzero(head["finals"]).tolist():
        for at, *final in np.frombuffer(tails[one][ends[one] :], FORMER).tolist():
            windows.former.setdefault(int(found[firsts[one] + at]), []).append(Final(*final))


def _ours(row: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype([("base", row["base"]), ("history", row["history"])])
