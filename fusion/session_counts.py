"""What counting alone says of the next item: popularity, the session's own items, item kNN, transitions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusion.sessions import Rows, Sessions

Floats = NDArray[np.float32]


def popularity(sessions: Sessions, items: int) -> NDArray[np.int64]:
    """(V + 1,) how often each item occurs; nothing for row 0."""
    count = np.bincount(sessions.item, minlength=items + 1)
    count[0] = 0
    return count


def popular(count: NDArray[np.int64], k: int) -> Rows:
    """(k,) the most frequent items."""
    return np.argsort(-count, kind="stable")[:k]


def session_popular(prefix: Sessions, count: NDArray[np.int64], k: int) -> Rows:
    """S-POP: (n, k) the session's own items by how often they occur in it, then the popular ones; 0 for none."""
    of = np.repeat(np.arange(len(prefix)), prefix.length)
    key, times = np.unique(of[prefix.item > 0] * len(count) + prefix.item[prefix.item > 0], return_counts=True)
    of, item = key // len(count), key % len(count)
    order = np.lexsort((-count[item], -times, of))
    of, item = of[order], item[order]
    nth = np.arange(len(of)) - np.searchsorted(of, of)
    top = np.zeros((len(prefix), 2 * k), np.int64)
    top[of[nth < k], nth[nth < k]] = item[nth < k]
    general = popular(count, k)
    known = (top[:, :k, None] == general).any(1)  # (n, k) already there
    top[:, k:] = np.where(known, 0, general)
    behind = np.argsort(top == 0, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(top, behind, 1)


def item_knn(sessions: Sessions, items: int, last: Rows, k: int, *, shrinkage: float = 20.0) -> Rows:
    """(n, k) what shares most sessions with the last item (n,), cosine with shrinkage (GRU4Rec's baseline)."""
    from scipy import sparse  # type: ignore[import-untyped]

    of = np.repeat(np.arange(len(sessions)), sessions.length)
    held = sparse.csr_matrix((np.ones(len(of), np.float32), (of, sessions.item)), shape=(len(sessions), items + 1))
    held.data[:] = 1  # an item counts once a session
    support = np.sqrt(np.asarray(held.sum(0)).ravel() + shrinkage)
    both = (held.T @ held).tocsr()
    wanted, place = np.unique(last, return_inverse=True)
    top = np.zeros((len(wanted), k), np.int64)
    for at, item in enumerate(wanted):
        inside = slice(both.indptr[item], both.indptr[item + 1])
        other = both.indices[inside]
        score = np.where((other == item) | (other == 0), 0, both.data[inside] / support[other])
        best = np.argsort(-score, kind="stable")[:k]
        top[at, : len(best)] = np.where(score[best] > 0, other[best], 0) * (item > 0)
    return top[place]


@dataclass(frozen=True)
class Transitions:
    """How often one item followed another, near ones counting more."""

    key: Rows  # (m,) ascending source · (V + 1) + target
    count: Floats  # (m,)
    items: int

    @classmethod
    def of(cls, sessions: Sessions, items: int, *, span: int, nearness: float = 0.6) -> Transitions:
        """Of all pairs at most `span` steps apart."""
        number = np.repeat(np.arange(len(sessions)), sessions.length)
        keys, weights = [], []
        for step in range(1, span + 1):
            together = number[step:] == number[:-step]
            keys.append(sessions.item[:-step][together] * (items + 1) + sessions.item[step:][together])
            weights.append(np.full(len(keys[-1]), nearness ** (step - 1)))
        key, place = np.unique(np.concatenate(keys), return_inverse=True)
        return cls(key, np.bincount(place, np.concatenate(weights), len(key)).astype(np.float32), items)

    def between(self, source: Rows, target: Rows) -> Floats:
        """The counts of pairs, 0 where never seen or unknown; source and target broadcast."""
        wanted = source * (self.items + 1) + target
        if not len(self.key):
            return np.zeros(wanted.shape, np.float32)
        place = np.searchsorted(self.key, wanted).clip(0, len(self.key) - 1)
        known = (self.key[place] == wanted) & (source > 0) & (target > 0)
        return np.where(known, self.count[place], np.float32(0))


@dataclass(frozen=True)
class Successions:
    """How often an item followed two others in a row."""

    pair: Rows  # (m,) ascending, first · (V + 1) + second
    visits: Floats  # (m,) how often anything followed
    next: Transitions  # from the place of a pair, counted from 1

    @classmethod
    def of(cls, sessions: Sessions, items: int) -> Successions:
        """Of all three in a row."""
        number = np.repeat(np.arange(len(sessions)), sessions.length)
        together = number[2:] == number[:-2]
        first, second, third = (sessions.item[at : len(sessions.item) - 2 + at][together] for at in range(3))
        pair, place = np.unique(first * (items + 1) + second, return_inverse=True)
        key, count = np.unique((place + 1) * (items + 1) + third, return_counts=True)
        visits = np.bincount(place, minlength=len(pair)).astype(np.float32)
        return cls(pair, visits, Transitions(key, count.astype(np.float32), items))

    def after(self, first: Rows, second: Rows, target: Rows) -> tuple[Floats, Floats]:
        """Counts of (n, c) targets after pairs (n, 1), and how often anything followed those (n, 1)."""
        if not len(self.pair):
            return np.zeros(target.shape, np.float32), np.zeros(first.shape, np.float32)
        wanted = first * (self.next.items + 1) + second
        place = np.searchsorted(self.pair, wanted).clip(0, len(self.pair) - 1)
        known = (self.pair[place] == wanted) & (first > 0) & (second > 0)
        count = self.next.between(np.where(known, place + 1, 0), target)
        return count, np.where(known, self.visits[place], np.float32(0))


@dataclass(frozen=True)
class Habits:
    """How items behave in sessions; (V + 1,) each, as log shares."""

    again: Floats  # of the sessions that have it: seen there again
    ends: Floats  # of its visits: the session's last
    begins: Floats  # of its visits: the session's first

    @classmethod
    def of(cls, sessions: Sessions, items: int) -> Habits:
        """Of all items; those never seen count as average."""
        visits = popularity(sessions, items)
        number = np.repeat(np.arange(len(sessions)), sessions.length)
        held = np.bincount(np.unique(number * (items + 1) + sessions.item) % (items + 1), minlength=items + 1)
        some = sessions.length > 0
        last, first = sessions.item[sessions.start[1:][some] - 1], sessions.item[sessions.start[:-1][some]]

        def share(count: NDArray[np.int64], whole: NDArray[np.int64], least: float) -> Floats:
            return np.log((count + least) / (whole + 2)).astype(np.float32)

        return cls(
            share(visits - held * (np.arange(items + 1) > 0), held, 0.1),
            share(np.bincount(last, minlength=items + 1), visits, 0.2),
            share(np.bincount(first, minlength=items + 1), visits, 0.2),
        )
