"""Session kNN as it was published, to be measured beside ours: what similar sessions of the training hold.

S-KNN (Jannach & Ludewig 2017), V-SKNN (Ludewig & Jannach 2018) and STAN (Garg et al. 2019), the last without its decay
of old sessions, which a log without times does not allow. The last two may count rare items for more, as V-SKNN and
V-STAN do in the authors' later framework.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fusion.sessions import Rows, Sessions

Floats = NDArray[np.float64]
Weight = Callable[[Floats, Floats], Floats]
"""Of an item at a position (from 1) of a session of so many items."""


def same(position: Floats, _: Floats) -> Floats:
    """All alike."""
    return np.ones_like(position)


def from_first(position: Floats, length: Floats) -> Floats:
    """Share of the session up to it."""
    return position / length


def from_last(position: Floats, length: Floats) -> Floats:
    """1 for the last, a half for the one before, a third, ..."""
    return 1 / (length - position + 1)


def fading(steps: float) -> Weight:
    """By a factor e with so many steps."""
    return lambda position, length: np.exp((position - length) / steps)


@dataclass(frozen=True)
class Rule:
    """What makes sessions similar, and what counts of their items."""

    neighbors: int = 100  # most similar sessions
    sample: int = 500  # newest sessions that share an item, looked at
    own: Weight = same  # of each item of one's own session, for the similarity
    latest: Weight = same  # of the newest item shared with a session, for all its items
    apart: float = np.inf  # steps from that item over which those of the session fade by a factor e
    cosine: bool = True  # else the weights shared, per item of one's own
    rarity: float = 0.0  # weight of an item's inverse frequency


S_KNN = (Rule(), Rule(sample=5000), Rule(neighbors=500, sample=1000))
V_SKNN = tuple(
    Rule(neighbors=neighbors, sample=sample, own=from_first, latest=latest, cosine=False, rarity=rarity)
    for neighbors, sample in ((50, 500), (100, 1000), (200, 2500))
    for latest in (same, from_last)
    for rarity in (0.0, 1.0, 5.0)
)
STAN = tuple(
    Rule(neighbors=neighbors, sample=2500, own=fading(own), apart=apart, rarity=rarity)
    for neighbors in (200, 500, 1500)
    for own in (0.905, 1.81)
    for apart in (0.905, 2.05, 4.0)
    for rarity in (0.0, 5.0)
)
PUBLISHED = {"session_knn": S_KNN, "vector_session_knn": V_SKNN, "stan": STAN}
"""What is tried of each kind, around its authors' settings."""


class Neighbors:
    """The sessions that hold each item of a catalogue."""

    def __init__(self, sessions: Sessions, items: int) -> None:
        self.sessions, self.items = sessions, items
        number = np.repeat(np.arange(len(sessions)), sessions.length)
        key = np.unique(sessions.item * len(sessions) + number)
        self.holders = key % len(sessions)  # (m,) of each item, oldest first
        self.start = np.searchsorted(key // len(sessions), np.arange(items + 2))  # (V + 2,)
        self.distinct = np.bincount(self.holders, minlength=len(sessions))  # (s,) items of each session
        visits = np.bincount(sessions.item, minlength=items + 1).clip(1)
        self.rarity = np.log(len(sessions) / visits)  # (V + 1,)

    def best(self, prefix: Sessions, k: int, rule: Rule) -> Rows:
        """(n, k) rows of the highest scores after each prefix, best first; 0 for none."""
        length: Floats = np.repeat(prefix.length, prefix.length).astype(np.float64)
        position = (np.arange(len(prefix.item)) - np.repeat(prefix.start[:-1], prefix.length) + 1).astype(np.float64)
        found = np.zeros((len(prefix), k), np.int64)
        _best(
            self.sessions.item,
            self.sessions.start,
            self.holders,
            self.start,
            self.distinct,
            1 + rule.rarity * self.rarity,
            prefix.item,
            prefix.start,
            rule.own(position, length),
            rule.latest(position, length),
            rule.apart,
            rule.cosine,
            rule.neighbors,
            rule.sample,
            np.zeros(self.items + 1),
            found,
        )
        return found


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _best(
    item: Rows,
    start: Rows,
    holders: Rows,
    held: Rows,
    distinct: Rows,
    rarity: Floats,
    asked: Rows,
    begins: Rows,
    own: Floats,
    latest: Floats,
    apart: float,
    cosine: bool,
    neighbors: int,
    sample: int,
    score: Floats,
    found: Rows,
) -> None:
    """One prefix after another; `score` (V + 1,) is zero before and after."""
    for case in range(len(begins) - 1):
        first, end = begins[case], begins[case + 1]
        mine = np.array(
            [at for at in range(first, end) if asked[at] > 0 and not (asked[at + 1 : end] == asked[at]).any()],
            dtype=np.int64,
        )  # each item's last place
        if held[asked[mine] + 1].sum() == held[asked[mine]].sum():  # nobody has them
            continue
        near = np.unique(np.array([one for at in mine for one in holders[held[asked[at]] : held[asked[at] + 1]]]))
        near = near[max(0, len(near) - sample) :]
        similar, shared = np.zeros(len(near)), np.zeros(len(near), np.int64)
        for at in mine:
            for session in holders[held[asked[at]] : held[asked[at] + 1]]:
                if session >= near[0]:  # those before it are not in the sample, all others are
                    one = np.searchsorted(near, session)
                    similar[one] += own[at]
                    shared[one] = at
        if cosine:
            similar /= np.sqrt((own[mine] ** 2).sum()) * np.sqrt(distinct[near].astype(np.float64))
        else:
            similar /= len(mine)
        newest_first = np.argsort(-similar[::-1], kind="mergesort")[:neighbors]
        touched = []
        for one in len(near) - 1 - newest_first:
            inside = item[start[near[one]] : start[near[one] + 1]]
            common = np.flatnonzero(inside == asked[shared[one]])[-1]
            for place, other in enumerate(inside):
                if other == 0 or (inside[place + 1 :] == other).any():
                    continue
                if score[other] == 0:
                    touched.append(other)
                fade = np.exp(-abs(place - common) / apart)
                score[other] += similar[one] * latest[shared[one]] * fade * rarity[other]
        if len(touched):
            rows = np.array(touched)
            order = np.argsort(-score[rows], kind="mergesort")[: found.shape[1]]
            found[case, : len(order)] = rows[order]
            score[rows] = 0
