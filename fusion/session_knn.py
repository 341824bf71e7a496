"""Which items come next, from the sessions that shared items with this one and from what is seen together.

Vector session kNN with decay by position (Ludewig & Jannach 2018; STAN, Garg et al. 2019) over a bounded, streaming
memory, mixed with decayed co-visits, popularity and the user's own items. Knows hashes, no products and no topics.
The answers are a pure function of the events in order, however they were grouped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion.session_kernels import Memory, Scratch, find, learn, recommend, rows_of

Rows = NDArray[np.int64]
Keys = NDArray[np.uint64]
Floats = NDArray[np.float32]

POPULAR = 64
"""Most popular items known by name; a quarter of that per category."""
HALVINGS = 16
"""Half-lives after which weights, which grow with time, are scaled down."""


@dataclass(frozen=True)
class KnnSettings:
    """Sizes bound the memory, about 60 MB as set.

    The weights were fitted by `knn_tuning` on simulated shoppers and rees46, no others.
    """

    max_items: int = 50_000  # beyond it the least popular tenth goes
    categories: int = 4096  # further ones are not told apart; a power of two
    sessions: int = 1 << 17  # newest sessions remembered, a power of two
    length: int = 16  # newest distinct items of a session
    ring: int = 128  # newest sessions of an item, a power of two
    neighbors: int = 50  # co-visited items of an item
    span: int = 4  # items of a session that meet each new one
    window_ms: int = 3_600_000  # a longer silence begins a new session
    half_life_ms: int = 30 * 86_400_000
    nearness: float = 0.8  # of a co-visit, per step between the two
    backward: float = 0.3  # of a co-visit, later → earlier against earlier → later
    recent: int = 7  # newest distinct items of a user that count
    recency: float = 0.8  # per step back in the user's recent items
    sample: int = 30  # sessions looked at for the newest item
    sampled: float = 0.6  # share of that per step back
    distance: float = 0.4  # per step from the shared item in a session
    reach: int = 3  # items further from it do not count
    session_backward: float = 0.25  # of an item before the shared one
    breadth: int = 20  # strongest co-visits that count
    shrinkage: float = 4.0  # co-visits that an item must gather to be believed by half
    session_weight: float = 0.35
    covisit_weight: float = 0.7
    popularity_weight: float = 0.1  # of an item's share of all activity
    category_weight: float = 0.3  # of the share of its category's activity, for the most popular there
    repeat_weight: float = 0.3  # of seeing the newest item again; 0 never recommends a recent item
    repeat_recency: float = 0.7  # of that, per step back
    repeat_kept: float = 0.0  # share of its other score that a recent item keeps

    def __post_init__(self) -> None:
        powers = all(size > 0 and not size & (size - 1) for size in (self.sessions, self.ring, self.categories))
        if not powers or self.sample > self.ring or self.breadth > self.neighbors or self.max_items < 10:
            raise ValueError(
                "sessions, ring and categories must be powers of two, sample <= ring, breadth <= neighbors"
            )


class SessionKnn:
    """Learns from events in order, recommends in batches; one thread only.

    Rows number items from 0; they stay until `forgotten` grows.
    """

    def __init__(self, settings: KnnSettings | None = None) -> None:
        self.settings = s = settings or KnnSettings()
        self._memory = Memory(
            hashes=np.zeros(s.max_items, np.uint64),
            table=np.zeros(1 << (2 * s.max_items - 1).bit_length(), np.int32),
            popularity=np.zeros(s.max_items),
            popular=np.full(POPULAR, -1, np.int32),
            category=np.full(s.max_items, -1, np.int32),
            categories=np.zeros(s.categories, np.uint64),
            category_table=np.zeros(2 * s.categories, np.int32),
            category_popular=np.full((s.categories, POPULAR // 4), -1, np.int32),
            category_activity=np.zeros(s.categories),
            neighbor=np.full((s.max_items, s.neighbors), -1, np.int32),
            weight=np.zeros((s.max_items, s.neighbors), np.float32),
            total=np.zeros(s.max_items),
            ring=np.zeros((s.max_items, s.ring), np.uint32),
            visits=np.zeros(s.max_items, np.int64),
            open=np.zeros(s.sessions, np.int64),
            key=np.zeros(s.sessions, np.uint64),
            last_ms=np.zeros(s.sessions, np.int64),
            length=np.zeros(s.sessions, np.int32),
            items=aligned((s.sessions, s.length)),
            counts=np.zeros(4, np.int64),
            activity=np.zeros(1),
        )
        touched = s.recent * s.ring
        places = 1 << (2 * touched - 1).bit_length()
        self._scratch = Scratch(
            session=np.zeros(places, np.int32),
            similarity=np.zeros(places),
            shared=np.zeros(places, np.int32),
            touched=np.zeros(touched, np.int32),
            score=np.zeros(s.max_items),
            candidate=np.zeros(touched * s.length + s.recent * (s.breadth + 1) + 2 * POPULAR, np.int32),
        )
        self._landmark_ms = 0  # the first event's time, later moved on; weights are relative to this time's
        self.forgotten = 0  # times that rows were numbered anew
        self._nearness = powers(s.nearness, np.arange(s.span))

    def __len__(self) -> int:
        return int(self._memory.counts[0])

    @property
    def hashes(self) -> Keys:
        """(items,) hash of each row."""
        return self._memory.hashes[: len(self)]

    @property
    def size_bytes(self) -> int:
        """All arrays."""
        return sum(array.nbytes for part in (self._memory, self._scratch) for array in part)

    def rows(self, hashes: Keys) -> Rows:
        """Row of each item hash, -1 where unknown; any shape."""
        found = np.empty(hashes.size, np.int64)
        rows_of(self._memory.hashes, self._memory.table, hashes.ravel(), found)
        return found.reshape(hashes.shape)

    def learn(
        self,
        item: Keys,
        session: Keys,
        time_ms: NDArray[np.int64],
        strength: NDArray[np.float64],
        *,
        category: Keys | None = None,
    ) -> None:
        """Apply events (n,), in order: hashes of item (never 0) and session, when, how much it says of the item.

        An item keeps the first category that is not 0.
        """
        s, n, at = self.settings, len(item), 0
        kind = np.zeros(n, np.uint64) if category is None else category
        while at < n:
            if not self._memory.counts[1]:
                self._landmark_ms = int(time_ms[at])
            ahead = np.flatnonzero(time_ms[at:] >= self._landmark_ms + HALVINGS * s.half_life_ms)
            end = at + int(ahead[0]) if len(ahead) else n
            if end == at:
                self._move_landmark(int(time_ms[at]))
                continue
            halvings = np.maximum((time_ms[:end] - self._landmark_ms) / s.half_life_ms, -100.0)
            gain = np.exp2(halvings) * strength[:end]
            part = (item[:end], session[:end], time_ms[:end], kind[:end])
            at = learn(self._memory, at, *part, gain, self._nearness, s.backward, s.window_ms)
            if at < end:
                self._forget()

    def recommend(self, recent: Keys, k: int, *, category: Keys | None = None) -> tuple[Rows, Floats]:
        """The k best rows (n, k), -1 none, and scores (n, k), for recent items (n, w), newest last, 0 none.

        Best first; an item's score is about its probability to be next. Of two equals the one met first leads. Where
        little is known the popular of the category (n,) follow, else of the newest known item's, then of all.
        """
        s, m = self.settings, self._memory
        kind = np.full(len(recent), -1, np.int64)
        if category is not None:
            rows_of(m.categories, m.category_table, category, kind)
        known = self.rows(recent)
        rows, scores = np.full((len(recent), k), -1, np.int64), np.zeros((len(recent), k), np.float32)
        back = np.arange(s.recent)
        away = np.arange(-s.reach, s.reach + 1)
        recommend(
            m,
            self._scratch,
            known,
            kind,
            (s.sample * powers(s.sampled, back)).astype(np.int64),
            powers(s.recency, back),
            s.repeat_weight * powers(s.repeat_recency, back),
            powers(s.distance, np.abs(away) - 1.0) * np.where(away < 0, s.session_backward, 1.0),
            self._mix(),
            s.breadth,
            rows,
            scores,
        )
        return rows, scores

    def _mix(self) -> NDArray[np.float64]:
        s, unit = self.settings, self._gain_now()
        return np.array(
            [
                s.session_weight,
                s.covisit_weight,
                s.popularity_weight / max(self._memory.activity[0], 1e-300),
                s.shrinkage * unit,
                s.repeat_kept,
                s.category_weight,
            ]
        )

    def _gain_now(self) -> float:
        """What an event of strength 1 at the latest time seen counts."""
        return float(np.exp2((int(self._memory.counts[2]) - self._landmark_ms) / self.settings.half_life_ms))

    def _move_landmark(self, time_ms: int) -> None:
        """Keep weights in range: scale by an exact power of two."""
        halvings = (time_ms - self._landmark_ms) // self.settings.half_life_ms
        self._landmark_ms += halvings * self.settings.half_life_ms
        factor = np.exp2(-float(min(halvings, 1000)))
        m = self._memory
        for weights in (m.popularity, m.total, m.activity, m.category_activity, m.weight):
            weights *= weights.dtype.type(factor)

    def _forget(self) -> None:
        """Drop the least popular tenth of the items and close the gaps; the others keep their order."""
        m, n = self._memory, len(self)
        keep = np.sort(np.argsort(-m.popularity[:n], kind="stable")[: n - n // 10])
        left = len(keep)
        moved = np.full(n + 2, -2, np.int32)  # -2 forgotten
        moved[-1] = -1
        moved[keep] = np.arange(left)
        for column in (m.hashes, m.popularity, m.category, m.neighbor, m.weight, m.ring, m.visits):
            column[:left], column[left:] = column[keep], 0
        m.neighbor[left:] = -1
        m.neighbor[:] = moved[m.neighbor]
        gone = m.neighbor < 0
        m.weight[gone] = 0
        order = np.argsort(gone, axis=1, kind="stable")
        m.neighbor[:] = np.take_along_axis(m.neighbor, order, 1)
        m.weight[:] = np.take_along_axis(m.weight, order, 1)
        m.total[:] = m.weight.sum(1, dtype=np.float64)
        m.items[:] = moved[m.items]
        order = np.argsort(-m.popularity[:left], kind="stable")
        m.popular[:] = -1
        m.popular[: min(left, POPULAR)] = order[:POPULAR]
        m.activity[0] = m.popularity.sum()
        self._forget_categories(order)
        m.table[:] = 0
        for row in range(left):
            m.table[-find(m.hashes, m.table, m.hashes[row]) - 1] = row + 1
        m.counts[0] = left
        self.forgotten += 1

    def _forget_categories(self, order: Rows) -> None:
        """Keep the categories of the items left; `order` names those, the most popular first."""
        m = self._memory
        kinds, new = np.unique(m.category[np.sort(order)], return_inverse=True)
        shift = int(kinds[0] < 0)  # new - shift is the row among those kept, -1 none
        kept = kinds[shift:]
        m.categories[: len(kept)], m.categories[len(kept) :] = m.categories[kept], 0
        m.category[: len(order)], m.category[len(order) :] = new - shift, -1
        m.category_table[:] = 0
        m.category_activity[:] = 0
        m.category_popular[:] = -1
        for row in range(len(kept)):
            m.category_table[-find(m.categories, m.category_table, m.categories[row]) - 1] = row + 1
            mine = order[m.category[order] == row]
            m.category_activity[row] = m.popularity[mine].sum()
            width = min(len(mine), m.category_popular.shape[1])
            m.category_popular[row, :width] = mine[:width]
        m.counts[3] = len(kept)


def aligned(shape: tuple[int, int]) -> NDArray[np.int32]:
    """All -1, from a cache line's start on."""
    size = shape[0] * shape[1]
    room = np.full(size + 15, -1, np.int32)
    start = -room.ctypes.data // 4 % 16
    return room[start : start + size].reshape(shape)


def powers(base: float, exponents: NDArray[Any]) -> NDArray[np.float64]:
    """base to each exponent."""
    result: NDArray[np.float64] = np.power(base, exponents, dtype=np.float64)
    return result
