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
        self._facts: defaultdict[str, dict[tuple[str, int], tuple[int, int]]] = defaultdict(dict)  # per metric
        self._count = 0
        self._level = 0
        self._fresh: dict[Fact, None] = {}  # changed since the last chunks
        self._chunk: list[Row] = []  # the last one, not full
        self._sequence = 0

    def __len__(self) -> int:
        return self._count

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
            count, before = self._facts[metric].get((key, user), (0, 0))
            self._put(metric, key, user, (count + 1, before + total))

    def say(self, metric: str, user: int, value: int) -> None:
        """The user's value is this now, whatever it was."""
        if not self._skips(user) and self._facts[metric].get(("", user)) != (1, value):
            self._put(metric, "", user, (1, value))

    def reach(self, metric: str, user: int, value: int) -> None:
        """The user's value is at least this."""
        if self._facts[metric].get(("", user), (0, -1))[1] < value:
            self.say(metric, user, value)

    def cells(self, metric: str) -> dict[str, tuple[int, int, int]]:
        """Key → users, count and total, scaled up."""
        found: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        for (key, _), (count, total) in self._facts[metric].items():
            cell = found[key]
            cell[0] += 1
            cell[1] += count
            cell[2] += total
        scale = 1 << self._level
        return {key: (users * scale, count * scale, total * scale) for key, (users, count, total) in found.items()}

    def values(self, metric: str) -> dict[int, int]:
        """Value → how many users say it, scaled up."""
        found: defaultdict[int, int] = defaultdict(int)
        for _, value in self._facts[metric].values():
            found[value] += 1 << self._level
        return dict(found)

    def changes(self) -> list[tuple[int, bytes]]:
        """Chunks to write: the last one again while it has room."""
        if not self._fresh:
            return []
        rows = [
            (metric, key, user, *value)
            for metric, key, user in self._fresh
            if (value := self._facts[metric].get((key, user))) is not None
        ]
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
                    self._facts[metric][key, user] = count, total
            full = len(rows) >= CHUNK_ROWS
            self._sequence, self._chunk = (sequence + 1, []) if full else (sequence, [tuple(row) for row in rows])
        self._thin()

    def _skips(self, user: int) -> bool:
        return bool(user & ((1 << self._level) - 1))

    def _put(self, metric: str, key: str, user: int, value: tuple[int, int]) -> None:
        facts = self._facts[metric]
        before = len(facts)
        facts[key, user] = value
        self._count += len(facts) - before
        self._fresh[metric, key, user] = None
        while self._count > self._limit and self._level < 60:
            self._level += 1
            self._thin()

    def _thin(self) -> None:
        for metric, facts in self._facts.items():
            self._facts[metric] = {fact: value for fact, value in facts.items() if not self._skips(fact[1])}
        self._count = sum(map(len, self._facts.values()))
