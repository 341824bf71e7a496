"""`behavior.insights`: one task's part of a metric in a window, and how parts add up. Users of two parts differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from stream_app.outputs.engagement import Window


class Cell(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One item, query, category, funnel step or segment."""

    key: str
    users: int
    """Distinct; at least `min_users` in every part."""
    count: int
    """Events or opinions; of funnel and segments the users again."""
    mean: float | None = None
    """Of `category_sentiment`: -1 to 1."""


class Part(msgspec.Struct, frozen=True, gc=False):
    """A metric in a window, as one partition saw it; a later record with the same key replaces it."""

    metric: str
    window: Window
    partition: int | None
    """None once parts are merged."""
    min_users: int
    sampled: float
    """Share of users that was counted; figures are scaled up already."""
    withheld: int
    """Cells of fewer than `min_users` users, or beyond the longest list."""
    cells: list[Cell]

    def record_key(self) -> bytes:
        """Of the record: metric, window and partition."""
        return f"{self.metric}|{self.window.start}|{self.partition}".encode()


ORDERED = frozenset(("funnel",))
"""Metrics whose cells have an order of their own; the others show the largest first."""


def merge(parts: Iterable[Part], *, top: int = 100) -> list[Part]:
    """One part per metric and window, newest window first."""
    together: defaultdict[tuple[str, str], list[Part]] = defaultdict(list)
    for part in parts:
        together[part.window.start, part.metric].append(part)
    return [_merged(group, top) for _, group in sorted(together.items(), reverse=True)]


def _merged(parts: list[Part], top: int) -> Part:
    cells: dict[str, Cell] = {}
    for part in parts:
        for cell in part.cells:
            cells[cell.key] = _sum(cells[cell.key], cell) if cell.key in cells else cell
    first = parts[0]
    rows = list(cells.values())
    if first.metric not in ORDERED:
        rows.sort(key=lambda cell: (-cell.users, cell.key))
    return Part(
        metric=first.metric,
        window=first.window,
        partition=None,
        min_users=max(part.min_users for part in parts),
        sampled=min(part.sampled for part in parts),
        withheld=sum(part.withheld for part in parts) + max(len(rows) - top, 0),
        cells=rows[:top],
    )


def _sum(one: Cell, other: Cell) -> Cell:
    count = one.count + other.count
    mean = None
    if one.mean is not None and other.mean is not None and count:
        mean = round((one.mean * one.count + other.mean * other.count) / count, 4)
    return Cell(one.key, one.users + other.users, count, mean)
