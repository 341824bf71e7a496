"""Who did what in one tumbling window, bounded: beyond a limit, users are sampled by their hash. Knows no clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import orjson

Fact = tuple[str, str, int]
"""Metric, key and the user's hash."""
Row = tuple[str, str, int, int, int]
"""A fact with its count and total."""
LEVEL = "level"
CHUNK_ROWS = 256


class Facts:
    """Fact → (count, total). Level l holds the users whose hash ends in l zero bits (Gibbons 2001): the level depends
    on the window's facts alone, never on batches."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._facts: dict[Fact, tuple[int, int]] = {}
        self._level = 0
        self._fresh: dict[Fact, None] = {}  # changed since the last chunks
        self._chunk: list[Row] = []  # the last one, not full
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._facts)

    @property
    def sampled(self) -> float:
        """Share of users that is counted."""
        return 0.5**self._level

    @property
    def chunks(self) -> int:
        """Chunks written so far."""
        return self._sequence + bool(self._chunk)

    def add(self, metric: str, key: str, user: int, total: int = 0) -> None:
        """It happened (again)."""
        if not self._skips(user):
            count, before = self._facts.get(fact := (metric, key, user), (0, 0))
            self._put(fact, count + 1, before + total)

    def say(self, metric: str, user: int, value: int) -> None:
        """The user's value is this now, whatever it was."""
        if not self._skips(user) and self._facts.get(fact := (metric, "", user)) != (1, value):
            self._put(fact, 1, value)

    def reach(self, metric: str, user: int, value: int) -> None:
        """The user's value is at least this."""
        if self._facts.get((metric, "", user), (0, -1))[1] < value:
            self.say(metric, user, value)

    def cells(self, metric: str) -> dict[str, tuple[int, int, int]]:
        """Key → users, count and total, scaled up."""
        found: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        for (kind, key, _), (count, total) in self._facts.items():
            if kind == metric:
                cell = found[key]
                cell[0] += 1
                cell[1] += count
                cell[2] += total
        scale = 1 << self._level
        return {key: (users * scale, count * scale, total * scale) for key, (users, count, total) in found.items()}

    def values(self, metric: str) -> dict[int, int]:
        """Value → how many users say it, scaled up."""
        found: defaultdict[int, int] = defaultdict(int)
        for (kind, *_), (_, value) in self._facts.items():
            if kind == metric:
                found[value] += 1 << self._level
        return dict(found)

    def changes(self) -> list[tuple[int, bytes]]:
        """Chunks to write: the last one again while it has room."""
        if not self._fresh:
            return []
        rows = [(*fact, *self._facts[fact]) for fact in self._fresh if fact in self._facts]
        rows.append((LEVEL, "", 0, self._level, 0))
        self._fresh.clear()
        written = []
        self._chunk += rows
        while len(self._chunk) >= CHUNK_ROWS:
            written.append((self._sequence, orjson.dumps(self._chunk[:CHUNK_ROWS])))
            self._chunk = self._chunk[CHUNK_ROWS:]
            self._sequence += 1
        if self._chunk:
            written.append((self._sequence, orjson.dumps(self._chunk)))
        return written

    def restore(self, chunks: Iterable[tuple[int, bytes]]) -> None:
        """Take over what `changes` gave, in any order."""
        for sequence, packed in sorted(chunks):
            rows = orjson.loads(packed)
            for metric, key, user, count, total in rows:
                if metric == LEVEL:
                    self._level = max(self._level, count)
                else:
                    self._facts[metric, key, user] = count, total
            full = len(rows) >= CHUNK_ROWS
            self._sequence, self._chunk = (sequence + 1, []) if full else (sequence, [tuple(row) for row in rows])
        self._thin()

    def _skips(self, user: int) -> bool:
        return bool(user & ((1 << self._level) - 1))

    def _put(self, fact: Fact, count: int, total: int) -> None:
        self._facts[fact] = count, total
        self._fresh[fact] = None
        while len(self._facts) > self._limit and self._level < 60:
            self._level += 1
            self._thin()

    def _thin(self) -> None:
        self._facts = {fact: value for fact, value in self._facts.items() if not self._skips(fact[2])}
