"""What all workers know of items: decayed popularity and co-visitation, learned from one ordered log.

Knows no topics: a log position is a number. The answers are a pure function of the events in order, however
they were grouped into records: events are applied in chunks whose ends depend on their count alone (1 event at
first, later a quarter of what is known, at most `chunk`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusion.item_activity import STRENGTHS, ItemActivity, strength_codes

__all__ = ["STRENGTHS", "IndexSettings", "ItemActivity", "ItemIndex", "strength_codes"]

Rows = NDArray[np.int64]
Keys = NDArray[np.uint64]
Floats = NDArray[np.float32]

NOBODY = 0xFFFFFFFF  # no row; also the mask of the row in a packed neighbour


@dataclass(frozen=True)
class IndexSettings:
    """Sizes bound the memory, about 30 MB as set."""

    max_items: int = 50_000  # beyond it the least popular tenth goes
    neighbors: int = 50  # per item
    sessions: int = 1 << 17  # slots for recent sessions, a power of two; a newer session takes the slot
    span: int = 4  # items of a session that meet each new one
    window_ms: int = 3_600_000  # items of a session further apart do not meet
    half_life_ms: int = 30 * 86_400_000
    distance_decay: float = 0.8  # per step between two items of a session
    backward: float = 0.5  # weight of later → earlier against earlier → later
    shrinkage: float = 1.0  # co-visits that an item must gather to be believed by half
    chunk: int = 512  # largest number of events applied at once
    recent: int = 7  # newest recent items that count
    breadth: int = 20  # best neighbours of each that are candidates
    recency_decay: float = 0.7  # per step back in the user's recent items
    repeat_weight: float = 0.3  # score of seeing the newest item again; 0 never recommends a recent item
    popularity_weight: float = 1e-3  # of an item's share of all activity

    def __post_init__(self) -> None:
        if self.sessions & (self.sessions - 1) or self.max_items < 2 * self.chunk or self.breadth > self.neighbors:
            raise ValueError("sessions must be a power of two, max_items >= 2 chunks, breadth <= neighbors")


class ItemIndex:
    """Recommends items; one thread only. Row numbers are valid until the next `append`."""

    def __init__(self, settings: IndexSettings | None = None) -> None:
        self.settings = s = settings or IndexSettings()
        self.position = 0  # offset after the last applied record
        self._length = 0
        self._applied = 0  # events in the structures below; up to a chunk more wait
        self._products = np.full(s.max_items, None, np.object_)
        self._hashes = np.zeros(s.max_items, np.uint64)
        self._table = np.zeros(1 << (2 * s.max_items - 1).bit_length(), np.int32)  # row + 1
        self._popularity = np.zeros(s.max_items, np.float64)
        # float32 weight bits << 32 | row, ascending: positive floats sort like their bits; 0 is empty
        self._neighbors = np.zeros((s.max_items, s.neighbors), np.uint64)
        self._total = np.zeros(s.max_items, np.float32)  # sum of the weights of a row's neighbours
        self._session = np.zeros(s.sessions, np.uint64)
        self._session_item = np.full((s.sessions, s.span), -1, np.int32)  # newest last
        self._session_time_ms = np.zeros((s.sessions, s.span), np.int64)
        self._session_strength = np.zeros((s.sessions, s.span), np.uint8)
        self._latest_ms = self._landmark_ms = -(1 << 62)  # weights are relative to the landmark's
        self._strengths = np.array(list(STRENGTHS.values()), np.float32)
        self._popular: Rows | None = None
        self._waiting = 0
        self._waiting_product = np.full(s.chunk, None, np.object_)
        self._waiting_hash = np.zeros(s.chunk, np.uint64)
        self._waiting_session = np.zeros(s.chunk, np.uint64)
        self._waiting_time_ms = np.zeros(s.chunk, np.int64)
        self._waiting_strength = np.zeros(s.chunk, np.uint8)

    def __len__(self) -> int:
        return self._length

    @property
    def products(self) -> NDArray[np.object_]:
        """(items,) product id (str) of each row; index it with an array of rows."""
        return self._products[: self._length]

    @property
    def hashes(self) -> Keys:
        """(items,) hash of each row's product id."""
        return self._hashes[: self._length]

    def append(self, offset: int, activity: ItemActivity) -> None:
        """Apply the record at this offset of the log; offsets grow."""
        if offset < self.position:
            raise ValueError(f"item log read backwards: {offset} after {self.position}")
        done, n = 0, len(activity)
        while done < n:
            size = min(self.settings.chunk, max(1, self._applied // 4))
            part = slice(done, min(n, done + size - self._waiting))
            room = slice(self._waiting, self._waiting + part.stop - done)
            item = activity.item[part]
            self._waiting_product[room] = [activity.products[i] for i in item.tolist()]
            self._waiting_hash[room] = activity.hashes[item]
            self._waiting_session[room] = activity.session[part]
            self._waiting_time_ms[room] = activity.event_time_ms[part]
            self._waiting_strength[room] = activity.strength[part]
            done, self._waiting = part.stop, room.stop
            if self._waiting == size:
                self._apply(size)
        self.position = offset + 1

    def rows(self, hashes: Keys) -> Rows:
        """Row of each item hash, -1 where unknown; any shape."""
        mask = np.uint64(len(self._table) - 1)
        flat = hashes.ravel()
        found = np.full(len(flat), -1, np.int64)
        open_ = np.flatnonzero(flat)
        slot = flat[open_] & mask
        while len(open_):
            row = self._table[slot] - 1
            hit = (row >= 0) & (self._hashes[row] == flat[open_])
            found[open_[hit]] = row[hit]
            on = (row >= 0) & ~hit
            open_, slot = open_[on], (slot[on] + np.uint64(1)) & mask
        return found.reshape(hashes.shape)

    def recommend(self, recent_item: Keys, k: int) -> tuple[Rows, Floats]:
        """The k best rows (n, k), -1 none, and scores (n, k) for users' recent items (n, R), newest last, 0 padded.

        The score sums P(next | recent item) over the recent items, a share of popularity, and for a recent item
        itself the repeat weight. Best first; ties go to the larger row.
        """
        s = self.settings
        recent = self.rows(recent_item[:, -s.recent :])  # (n, r)
        n, width = recent.shape
        steps = s.recency_decay ** np.arange(width - 1, -1, -1, dtype=np.float32)  # (r,) 1 for the newest
        entry = self._neighbors[recent, s.neighbors - s.breadth :]  # (n, r, breadth)
        trust = steps / (self._total[recent] + self._shrinkage())
        trust[recent < 0] = 0
        popular = self._most_popular(k + s.recent)
        share = self._popularity[popular] / max(self._popularity.sum(), 1e-300) * s.popularity_weight
        b = width * s.breadth  # candidates: neighbours up to here, then the popular, then the recent items
        c = b + len(popular)
        item, score = np.empty((n, c + width), np.uint64), np.empty((n, c + width), np.float32)
        item[:, :b] = _rows(entry).reshape(n, b)
        score[:, :b] = (_weights(entry) * trust[..., None]).reshape(n, b)
        item[:, b:c], score[:, b:c] = popular, share
        item[:, c:] = np.where(recent < 0, NOBODY, recent)
        score[:, c:] = np.where(recent < 0, 0, steps * s.repeat_weight)
        if s.repeat_weight == 0:
            for column in range(c, c + width):
                score[item == item[:, column, None]] = 0
        np.copyto(item, NOBODY, where=score == 0)  # so that padding changes no sum
        return _best(item, score, k)

    def _shrinkage(self) -> np.float32:
        return np.float32(self.settings.shrinkage * self._gain(np.array(self._latest_ms)))

    def _gain(self, time_ms: NDArray[np.int64]) -> NDArray[np.float64]:
        """Weight of an event at that time; it doubles every half-life, so the past fades untouched."""
        return np.exp2(np.maximum((time_ms - self._landmark_ms) / self.settings.half_life_ms, -100.0))

    def _most_popular(self, count: int) -> Rows:
        """(≤ count,) rows, most popular first; ties go to the older row."""
        if self._popular is None or len(self._popular) < min(count, self._length):
            self._popular = np.argsort(-self._popularity[: self._length], kind="stable")[: max(count, 64)]
        return self._popular[:count]

    def _apply(self, size: int) -> None:
        hashes, session = self._waiting_hash[:size], self._waiting_session[:size]
        time_ms, strength = self._waiting_time_ms[:size], self._waiting_strength[:size]
        self._move_landmark(int(time_ms.max()))
        row = self._learn(hashes, self._waiting_product[:size])
        np.add.at(self._popularity, row, self._gain(time_ms) * self._strengths[strength])
        self._meet(row, session, time_ms, strength)
        self._popular = None
        self._applied += size
        self._waiting = 0

    def _move_landmark(self, time_ms: int) -> None:
        """Keep weights in range: scale by an exact power of two once time has moved on by 16 half-lives."""
        half_life_ms = self.settings.half_life_ms
        if not self._applied:
            self._landmark_ms = self._latest_ms = time_ms
        self._latest_ms = max(self._latest_ms, time_ms)
        halvings = (self._latest_ms - self._landmark_ms) // half_life_ms
        if halvings >= 16:
            self._landmark_ms += halvings * half_life_ms
            factor = np.exp2(-float(min(halvings, 1000)))
            self._popularity *= factor
            weight = _weights(self._neighbors)
            weight *= np.float32(factor)
            self._total *= np.float32(factor)

    def _learn(self, hashes: Keys, product: NDArray[np.object_]) -> Rows:
        """Rows of the items; new ones are entered in the order of their first event."""
        row = self.rows(hashes)
        if (row >= 0).all():
            return row
        _, first = np.unique(hashes, return_index=True)
        new = np.sort(first[row[first] < 0])
        if self._length + len(new) > self.settings.max_items:
            self._forget(len(new))
        added = slice(self._length, self._length + len(new))
        self._hashes[added], self._products[added] = hashes[new], product[new]
        self._length = added.stop
        for number in range(added.start, added.stop):
            self._enter(number)
        return self.rows(hashes)

    def _enter(self, row: int) -> None:
        slot = int(self._hashes[row]) & (len(self._table) - 1)
        while self._table[slot]:
            slot = (slot + 1) & (len(self._table) - 1)
        self._table[slot] = row + 1

    def _forget(self, wanted: int) -> None:
        """Drop the least popular tenth (or `wanted`) and close the gaps; the others keep their order."""
        s, n = self.settings, self._length
        keep = np.sort(np.argsort(-self._popularity[:n], kind="stable")[: s.max_items - max(wanted, s.max_items // 10)])
        moved = np.full(n, -1, np.int64)
        moved[keep] = np.arange(len(keep))
        self._length = len(keep)
        self._products[: len(keep)], self._products[len(keep) :] = self._products[keep], None
        for column in (self._hashes, self._popularity, self._neighbors):
            column[: len(keep)], column[len(keep) :] = column[keep], 0
        target = moved[(self._neighbors & np.uint64(NOBODY)).astype(np.int64)]
        kept = (target >= 0) & (self._neighbors != 0)
        self._neighbors[:] = np.where(
            kept, self._neighbors & ~np.uint64(NOBODY) | np.maximum(target, 0).astype(np.uint64), 0
        )
        self._neighbors.sort(axis=1)
        self._total[:] = _weights(self._neighbors).sum(1)
        known = self._session_item >= 0
        self._session_item[known] = moved[self._session_item[known]]
        self._table[:] = 0
        for number in range(self._length):
            self._enter(number)

    def _meet(self, row: Rows, session: Keys, time_ms: NDArray[np.int64], strength: NDArray[np.uint8]) -> None:
        """Pair every event with up to `span` earlier ones of its session; remember the sessions' last items."""
        s, span, n = self.settings, self.settings.span, len(row)
        order = np.argsort(session, kind="stable")
        _, start, group = np.unique(session[order], return_index=True, return_inverse=True)
        groups = len(start)
        keys = session[order[start]]
        slot = (keys & np.uint64(s.sessions - 1)).astype(np.int64)
        mine = self._session[slot] == keys  # (groups,)
        at = np.arange(n) + (group + 1) * span  # each group's events follow the span items it brought
        before = (start + np.arange(groups) * span)[:, None] + np.arange(span)  # (groups, span)
        item, when, code = (
            np.full(n + groups * span, -1),
            np.zeros(n + groups * span, np.int64),
            np.zeros(n + groups * span, np.uint8),
        )
        item[before] = np.where(mine[:, None], self._session_item[slot], -1)
        when[before], code[before] = self._session_time_ms[slot], self._session_strength[slot]
        item[at], when[at], code[at] = row[order], time_ms[order], strength[order]

        past = at[:, None] - np.arange(1, span + 1)  # (n, span)
        here = np.broadcast_to(at[:, None], past.shape)
        close = s.distance_decay ** np.arange(span, dtype=np.float32)
        met = (item[past] >= 0) & (item[past] != item[here]) & (np.abs(when[here] - when[past]) <= s.window_ms)
        a, b = past[met], here[met]
        gain = (self._gain(when[b]) * np.broadcast_to(close, past.shape)[met]).astype(np.float32)
        forward, backward = (
            gain * self._strengths[code[b]],
            gain * self._strengths[code[a]] * np.float32(s.backward),
        )
        self._add_pairs(
            np.concatenate([item[a], item[b]]),
            np.concatenate([item[b], item[a]]),
            np.concatenate([forward, backward]),
        )
        last = np.append(start[1:], n) + (np.arange(groups) + 1) * span  # end of each group
        final = np.argsort(order[np.append(start[1:], n) - 1])  # of two sessions in one slot the later one stays
        keep = last[final, None] - np.arange(span, 0, -1)
        slot = slot[final]
        self._session[slot], self._session_item[slot] = keys[final], item[keep]
        self._session_time_ms[slot], self._session_strength[slot] = when[keep], code[keep]

    def _add_pairs(self, source: Rows, target: Rows, weight: Floats) -> None:
        """Add weights to (source, target); a source's weakest neighbours make way for stronger ones."""
        if not len(source):
            return
        s = self.settings
        pair = source << 32 | target
        order = np.argsort(pair, kind="stable")
        pair = pair[order]
        start = np.flatnonzero(np.diff(pair, prepend=-1))
        pair, weight = pair[start], np.add.reduceat(weight[order], start)  # distinct pairs
        source, target = pair >> 32, pair & NOBODY
        touched, local = np.unique(source, return_inverse=True)
        entries = self._neighbors[touched]  # (t, neighbors)
        stored = np.where(entries != 0, _rows(entries), np.uint32(NOBODY))
        same = stored[local] == target.astype(np.uint32)[:, None]  # (pairs, neighbors)
        known = same.any(1)
        place = same.argmax(1)[known]
        old = _weights(entries)[local[known], place]
        entries[local[known], place] = _pack(target[known], old + weight[known])

        new = np.flatnonzero(~known)
        new = new[np.lexsort((-weight[new], local[new]))]  # by source, strongest first
        first = np.searchsorted(local[new], np.arange(len(touched)))
        rank = np.arange(len(new)) - first[local[new]]
        new, rank = new[rank < s.neighbors], rank[rank < s.neighbors]
        extra = np.zeros((len(touched), int(rank.max(initial=-1)) + 1), np.uint64)
        extra[local[new], rank] = _pack(target[new], weight[new])
        merged = np.concatenate([entries, extra], axis=1)
        merged.sort(axis=1)
        merged = np.ascontiguousarray(merged[:, -s.neighbors :])
        self._neighbors[touched] = merged
        self._total[touched] = _weights(merged).sum(1)


def _pack(row: Rows | Keys, weight: Floats) -> Keys:
    packed = weight.view(np.uint32).astype(np.uint64)
    packed <<= np.uint64(32)
    packed |= row.astype(np.uint64, copy=False)
    return packed


def _rows(packed: Keys) -> NDArray[np.uint32]:
    """View of the lower halves."""
    return packed.view("<u4")[..., 0::2]


def _weights(packed: Keys) -> Floats:
    """View of the upper halves."""
    return packed.view("<f4")[..., 1::2]


def _best(item: Keys, score: Floats, k: int) -> tuple[Rows, Floats]:
    """Sum the scores of equal items per line and take the k best with a positive score."""
    n, width = item.shape
    key = item << np.uint64(32)
    key |= score.view(np.uint32)
    key.sort(axis=1)
    item = key >> np.uint64(32)
    fresh = np.empty((n, width), np.bool_)
    fresh[:, :1] = True
    np.not_equal(item[:, 1:], item[:, :-1], out=fresh[:, 1:])
    start = np.flatnonzero(fresh)
    total = np.zeros((n, width), np.float32)
    if n:
        total.ravel()[start] = np.add.reduceat(key.astype(np.uint32).view(np.float32).ravel(), start)
    key = _pack(item, total)
    key.sort(axis=1)
    best = np.zeros((n, k), np.uint64)
    best[:, : min(k, width)] = key[:, : -k - 1 : -1]
    scores = _weights(best).copy()
    return np.where(scores > 0, _rows(best).astype(np.int64), -1), scores
