"""The loops of SessionKnn in machine code: learn one event after another, answer one user after another.

Pure Python with NUMBA_DISABLE_JIT=1, with the same answers: floats are widened before they are used, and there is
no fast math.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])
Int = int | np.int64

SERIAL = 0xFFFFFFFF
"""Sessions are numbered in 32 bits, around and around."""

LANES = 16
"""Products summed side by side, so that the processor can; vectors have a multiple of it."""

TINY = 1e-12
"""The score of an item that is a candidate for its popularity alone."""


class Memory(NamedTuple):
    """What is known of I items and S sessions; S, R and the table's length are powers of two."""

    hashes: NDArray[np.uint64]  # (I,)
    table: NDArray[np.int32]  # (T,) row + 1 by hash, linear probing
    popularity: NDArray[np.float64]  # (I,) decayed activity
    popular: NDArray[np.int32]  # (P,) most popular rows first, -1 none
    category: NDArray[np.int32]  # (I,) row of the item's category, -1 none
    categories: NDArray[np.uint64]  # (C,) hash of each category
    category_table: NDArray[np.int32]  # (2C,) row + 1 by hash
    category_popular: NDArray[np.int32]  # (C, P) most popular rows first, -1 none
    category_activity: NDArray[np.float64]  # (C,) sum of the popularity
    neighbor: NDArray[np.int32]  # (I, N) co-visited rows, the strongest first, -1 none
    weight: NDArray[np.float32]  # (I, N) decayed co-visits
    total: NDArray[np.float64]  # (I,) sum of the weights
    ring: NDArray[np.uint32]  # (I, R) numbers of the newest sessions
    visits: NDArray[np.int64]  # (I,) sessions so far
    open: NDArray[np.int64]  # (S,) number + 1 of the newest session by key, direct-mapped
    key: NDArray[np.uint64]  # (S,) by number
    last_ms: NDArray[np.int64]  # (S,)
    length: NDArray[np.int32]  # (S,)
    items: NDArray[np.int32]  # (S, L) distinct rows by last visit, the newest last, then -1; -2 forgotten
    counts: NDArray[np.int64]  # items, sessions so far, latest time, categories
    activity: NDArray[np.float64]  # (1,) sum of the popularity


class Scratch(NamedTuple):
    """Room to count in; all zero between users."""

    session: NDArray[np.int32]  # (H,) slot + 1 of a session that shares items, by slot, linear probing
    similarity: NDArray[np.float64]  # (H,)
    shared: NDArray[np.int32]  # (H,) the newest item that the session shares
    touched: NDArray[np.int32]  # places of the three above
    score: NDArray[np.float64]  # (I,)
    candidate: NDArray[np.int32]  # items


def compiled(function: F) -> F:
    """Machine code that lets other threads run; kept on disk."""
    made: F = njit(cache=True, nogil=True)(function)
    return made


@compiled
def find(hashes: NDArray[np.uint64], table: NDArray[np.int32], key: np.uint64) -> Int:
    """Row of a hash, or -(slot of the table where it would stand) - 1."""
    last = table.shape[0] - 1
    slot = np.int64(key & np.uint64(last))
    while table[slot]:
        row = np.int64(table[slot]) - 1
        if hashes[row] == key:
            return row
        slot = (slot + 1) & last
    return -slot - 1


@compiled
def rows_of(
    hashes: NDArray[np.uint64], table: NDArray[np.int32], keys: NDArray[np.uint64], rows: NDArray[np.int64]
) -> None:
    """Row of each hash into `rows` (n,), -1 where unknown or 0."""
    for i in range(len(keys)):
        rows[i] = max(-1, find(hashes, table, keys[i])) if keys[i] else -1


@compiled
def learn(
    m: Memory,
    start: int,
    item: NDArray[np.uint64],
    session: NDArray[np.uint64],
    time_ms: NDArray[np.int64],
    category: NDArray[np.uint64],
    gain: NDArray[np.float64],
    nearness: NDArray[np.float64],
    backward: float,
    window_ms: int,
) -> int:
    """Apply events from `start` on; gives where it stopped: the end, or a new item for which there is no room.

    `gain` (n,) is what each counts; `nearness` (span,) what a step of distance leaves of a co-visit.
    """
    for e in range(start, len(item)):
        row = find(m.hashes, m.table, item[e])
        if row < 0:
            if m.counts[0] == len(m.hashes):
                return e
            slot, row = -row - 1, m.counts[0]
            m.hashes[row] = item[e]
            m.category[row] = -1
            m.table[slot] = row + 1
            m.counts[0] += 1
        if time_ms[e] > m.counts[2] or m.counts[1] == 0:
            m.counts[2] = time_ms[e]
        m.activity[0] += gain[e]
        m.popularity[row] += gain[e]
        rise(m.popular, m.popularity, row)
        kind: Int = np.int64(m.category[row])
        if kind < 0 and category[e]:
            kind = kind_of(m, category[e])
            m.category[row] = kind
        if kind >= 0:
            m.category_activity[kind] += gain[e]
            rise(m.category_popular[kind], m.popularity, row)
        slot = visit(m, row, session[e], time_ms[e], window_ms)
        end = np.int64(m.length[slot]) - 1
        for step in range(min(int(end), len(nearness))):
            other = np.int64(m.items[slot, end - 1 - step])
            if other >= 0:
                meet(m, other, row, gain[e] * nearness[step])
                meet(m, row, other, gain[e] * nearness[step] * backward)
    return len(item)


@compiled
def kind_of(m: Memory, category: np.uint64) -> Int:
    """Row of a category, entered where there is room, else -1."""
    row = find(m.categories, m.category_table, category)
    if row >= 0:
        return row
    if m.counts[3] == len(m.categories):
        return -1
    new: Int = m.counts[3]
    m.categories[new] = category
    m.category_table[-row - 1] = new + 1
    m.counts[3] += 1
    return new


@compiled
def rise(popular: NDArray[np.int32], popularity: NDArray[np.float64], row: Int) -> None:
    """Keep the list of the most popular in order, now that `row` has gained."""
    end = len(popular) - 1
    if popular[end] >= 0 and popularity[popular[end]] >= popularity[row]:
        return
    at = 0
    while at < end and popular[at] >= 0 and popular[at] != row:
        at += 1
    while at > 0 and popularity[popular[at - 1]] < popularity[row]:
        popular[at] = popular[at - 1]
        at -= 1
    popular[at] = row


@compiled
def visit(m: Memory, row: Int, key: np.uint64, time_ms: Int, window_ms: int) -> Int:
    """Enter the item as the newest of its session, the open one or a new one; gives the session's slot."""
    last = len(m.key) - 1
    door = np.int64(key & np.uint64(last))
    number = m.open[door] - 1
    slot: Int = number & last
    sessions = m.counts[1]
    if number < 0 or sessions - number > last or m.key[slot] != key or abs(time_ms - m.last_ms[slot]) > window_ms:
        number = sessions
        slot = number & last
        m.counts[1] = sessions + 1
        m.open[door] = number + 1
        m.key[slot] = key
        for i in range(m.length[slot]):
            m.items[slot, i] = -1
        m.length[slot] = 0
    m.last_ms[slot] = time_ms
    end = np.int64(m.length[slot])
    at = 0
    while at < end and m.items[slot, at] != row:
        at += 1
    if at == end:
        m.ring[row, m.visits[row] & (m.ring.shape[1] - 1)] = number & SERIAL
        m.visits[row] += 1
        if end < m.items.shape[1]:
            m.length[slot] = end + 1
        else:
            at = 0
    end = np.int64(m.length[slot]) - 1
    for i in range(at, end):
        m.items[slot, i] = m.items[slot, i + 1]
    m.items[slot, end] = row
    return slot


@compiled
def meet(m: Memory, source: Int, target: Int, weight: float) -> None:
    """Add to a co-visit; a new one takes the weakest one's place unless that is stronger."""
    end = m.neighbor.shape[1] - 1
    at = 0
    while at < end and m.neighbor[source, at] >= 0 and m.neighbor[source, at] != target:
        at += 1
    held = np.float64(m.weight[source, at])
    if m.neighbor[source, at] == target:
        m.total[source] += weight
        weight += held
    elif weight < held:
        return
    else:
        m.total[source] += weight - held
    while at > 0 and m.weight[source, at - 1] < weight:
        m.neighbor[source, at] = m.neighbor[source, at - 1]
        m.weight[source, at] = m.weight[source, at - 1]
        at -= 1
    m.neighbor[source, at] = target
    m.weight[source, at] = weight


@compiled
def recommend(
    m: Memory,
    s: Scratch,
    recent: NDArray[np.int64],
    category: NDArray[np.int64],
    sample: NDArray[np.int64],
    step: NDArray[np.float64],
    repeat: NDArray[np.float64],
    distance: NDArray[np.float64],
    mix: NDArray[np.float64],
    breadth: int,
    rows: NDArray[np.int64],
    scores: NDArray[np.float32],
) -> None:
    """The best `rows` and `scores` (n, k) for recent rows (n, w), newest last, -1 none, and a category's row (n,) each.

    By steps back in the user's known distinct items (r,): `sample` newest sessions looked at, `step` their weight,
    `repeat` the score of that item itself. `distance` (2 reach + 1,): what an item so far from the shared one counts.
    `mix`: weights of sessions, co-visits and popularity, shrinkage, share kept by recents, weight of the share of
    the category's activity. The similarity counts squared. A category unknown is that of the newest known item.
    """
    width = len(sample)
    size = m.items.shape[1]
    reach = len(distance) // 2
    last = len(m.key) - 1
    sessions = m.counts[1]
    known = np.zeros(width, np.int64)
    for user in range(len(recent)):
        depth = 0
        for i in range(recent.shape[1] - 1, -1, -1):
            row = recent[user, i]
            if row >= 0 and depth < width:
                at = 0
                while at < depth and known[at] != row:
                    at += 1
                if at == depth:
                    known[depth] = row
                    depth += 1
        touched = 0
        candidates = 0
        for back in range(depth):
            row = known[back]
            visits = m.visits[row]
            for i in range(min(visits, sample[back])):
                number = np.int64(m.ring[row, (visits - 1 - i) & (m.ring.shape[1] - 1)])
                if (sessions - number) & SERIAL > last:
                    break
                slot = number & last
                place = slot & (len(s.session) - 1)
                while s.session[place] and s.session[place] != slot + 1:
                    place = (place + 1) & (len(s.session) - 1)
                if not s.session[place]:
                    s.session[place] = slot + 1
                    s.similarity[place] = 0.0
                    s.shared[place] = row
                    s.touched[touched] = place
                    touched += 1
                s.similarity[place] += step[back]
        total = 0.0
        for i in range(touched):
            place = np.int64(s.touched[i])
            slot = np.int64(s.session[place]) - 1
            s.session[place] = 0
            shared = s.shared[place]
            at = 0
            while at < size and m.items[slot, at] != shared:
                at += 1
            if at == size:
                continue
            similar = s.similarity[place] * s.similarity[place]
            total += similar
            for j in range(max(at - reach, 0), min(at + reach + 1, size)):
                row = np.int64(m.items[slot, j])
                if row == -1:
                    break
                if j != at and row >= 0:
                    if s.score[row] == 0.0:
                        s.candidate[candidates] = row
                        candidates += 1
                    s.score[row] += similar * distance[j - at + reach]
        if total > 0.0:
            for i in range(candidates):
                s.score[s.candidate[i]] *= mix[0] / total
        for back in range(depth):
            source = known[back]
            trust = mix[1] * step[back] / (m.total[source] + mix[3])
            for i in range(breadth):
                row = np.int64(m.neighbor[source, i])
                if row < 0:
                    break
                if s.score[row] == 0.0:
                    s.candidate[candidates] = row
                    candidates += 1
                s.score[row] += trust * np.float64(m.weight[source, i])
        kind = category[user]
        back = 0
        while kind < 0 and back < depth:
            kind = np.int64(m.category[known[back]])
            back += 1
        if kind >= 0:
            trust = mix[5] / max(m.category_activity[kind], TINY)
            for i in range(m.category_popular.shape[1]):
                row = np.int64(m.category_popular[kind, i])
                if row < 0:
                    break
                if s.score[row] == 0.0:
                    s.candidate[candidates] = row
                    candidates += 1
                s.score[row] += trust * m.popularity[row]
        for i in range(len(m.popular)):
            row = np.int64(m.popular[i])
            if row < 0 or candidates >= rows.shape[1] + width:
                break
            if s.score[row] == 0.0:
                s.candidate[candidates] = row
                candidates += 1
                s.score[row] = TINY
        for back in range(depth):
            row = known[back]
            if s.score[row] == 0.0:
                s.candidate[candidates] = row
                candidates += 1
            if repeat[back] > 0.0:
                s.score[row] = s.score[row] * mix[4] + repeat[back]
            else:
                s.score[row] = -1.0
        found = 0
        k = rows.shape[1]
        for i in range(candidates):
            row = np.int64(s.candidate[i])
            score = s.score[row] + mix[2] * m.popularity[row]
            if s.score[row] < 0.0:
                score = 0.0
            s.score[row] = 0.0
            if score > 0.0 and (found < k or score > scores[user, k - 1]):
                at = min(found, k - 1)
                while at > 0 and scores[user, at - 1] < score:
                    scores[user, at] = scores[user, at - 1]
                    rows[user, at] = rows[user, at - 1]
                    at -= 1
                scores[user, at] = score
                rows[user, at] = row
                found = min(found + 1, k)


@compiled
def rerank(
    rows: NDArray[np.int64],
    scores: NDArray[np.float32],
    vectors: NDArray[np.float32],
    direction: NDArray[np.float32],
    weight: float,
    best: NDArray[np.int64],
    total: NDArray[np.float32],
) -> None:
    """Of candidate rows (n, c), -1 none, the `best` (n, k) by score + weight * cosine of unit vectors, and that."""
    k = best.shape[1]
    lanes = np.zeros(LANES, np.float32)
    for user in range(len(rows)):
        found = 0
        for i in range(rows.shape[1]):
            row = rows[user, i]
            if row < 0:
                break
            lanes[:] = 0
            for d in range(0, vectors.shape[1], LANES):
                for lane in range(LANES):
                    lanes[lane] += vectors[row, d + lane] * direction[user, d + lane]
            cosine = 0.0
            for lane in range(LANES):
                cosine += np.float64(lanes[lane])
            score = np.float32(np.float64(scores[user, i]) + weight * cosine)
            if found < k or score > total[user, k - 1]:
                at = min(found, k - 1)
                while at > 0 and total[user, at - 1] < score:
                    total[user, at] = total[user, at - 1]
                    best[user, at] = best[user, at - 1]
                    at -= 1
                total[user, at] = score
                best[user, at] = row
                found = min(found + 1, k)
