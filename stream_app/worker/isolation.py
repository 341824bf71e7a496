"""Finds the events that the model cannot score, by name or by halving; scores the others. Runs on the device thread.

An event that the model refuses has still happened: it stays in its user's windows, counters, history and digest, and
in the horizon of de-duplication, as `state.update` left them. Only the model knows nothing of it: its part of the state
is carried past. That is the same wherever a batch was cut, so any batch limit gives the same outputs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion.errors import NotFiniteError
from fusion.features import FeatureBatch, PredictionBatch
from stream_app.errors import ScoringError
from stream_app.state.user_rows import UserRows

log = logging.getLogger(__name__)

HOPELESS = 64
"""So many failures without one success are no poison: the model or its device is broken."""
SOME = 8
"""One suspect in so many events at most: where more are named, one spoils the others' numbers."""

Rows = NDArray[np.int64]
Score = Callable[[FeatureBatch], PredictionBatch]


@dataclass(frozen=True)
class Scored:
    """Predictions of the kept events; `predictions.carried` is of all u users."""

    predictions: PredictionBatch | None  # None when nothing could be scored
    kept: NDArray[np.bool_]  # (n,) in the order of the FeatureBatch


def isolate(score: Score, features: FeatureBatch) -> Scored:
    """Score what can be scored.

    Where the model names events, its word is checked: each user's first one alone, all others once more. With k
    offenders of different users that is k + 3 forward passes, of which two are of nearly all n events; where it names
    none, or too many to believe, at most k * (log2 n + 1) + 1. Raises ScoringError when the model itself must be at
    fault; then nothing may be set aside.
    """
    try:
        return Scored(score(features), np.ones(len(features), bool))
    except Exception as caught:
        error: Exception | None = caught
    log.warning("the model failed on a batch", extra={"error": type(error).__name__, "events": len(features)})
    search = _Search(score, features)
    left = np.arange(len(features))
    while error is not None:
        suspects = _first_of_users(features.row[left], error)
        if not 0 < len(suspects) <= len(left) // SOME:
            search.halve(left)
            break
        left = search.check(left, suspects)
        error = search.scores(left)
    return search.result()


class _Search:
    """What is scored so far, in parts; everything that a part's users did before it must have been tried."""

    def __init__(self, score: Score, features: FeatureBatch) -> None:
        self._score = score
        self._features = features
        self._carried = features.carried.copy()
        self._kept = np.zeros(len(features), bool)
        self._parts: list[tuple[Rows, PredictionBatch]] = []
        self._offenders = 0

    def scores(self, rows: Rows) -> Exception | None:
        """Score these events together, if it can be done."""
        if not len(rows):
            return None
        try:
            made = self._score(chosen(self._features, rows, self._carried))
        except Exception as error:
            return error
        self._parts.append((rows, made))
        self._carried[np.unique(self._features.row[rows])] = made.carried
        self._kept[rows] = True
        return None

    def check(self, rows: Rows, suspects: Rows) -> Rows:
        """Score what comes before the suspects (places in `rows`, one of a user at most), and each of them; returns
        what comes after."""
        row = self._features.row[rows]
        suspect_of = np.full(int(row[-1]) + 1, len(rows))
        suspect_of[row[suspects]] = suspects
        place = np.arange(len(rows))
        before = rows[place < suspect_of[row]]
        if self.scores(before) is not None:
            self.halve(before)
        for one in suspects.tolist():
            if self.scores(rows[one : one + 1]) is not None:
                self._blame()
        return rows[place > suspect_of[row]]

    def halve(self, rows: Rows) -> None:
        """Score these events, all but the offenders, of which there is one."""
        start, end = 0, len(rows)
        while start < end:
            good = end  # start..good is known to fail
            while good - start > 1:
                middle = (start + good) // 2
                if self.scores(rows[start:middle]) is None:
                    start = middle
                else:
                    good = middle
            start += 1  # the offender
            self._blame()
            if start == end or self.scores(rows[start:end]) is None:
                break

    def result(self) -> Scored:
        """All parts as one batch."""
        return Scored(_joined(self._parts, self._carried) if self._parts else None, self._kept)

    def _blame(self) -> None:
        self._offenders += 1
        if self._offenders >= HOPELESS and not self._parts:
            raise ScoringError(f"the model failed on each of {self._offenders} events")


def chosen(features: FeatureBatch, rows: Rows, carried: NDArray[np.void]) -> FeatureBatch:
    """Events as a batch of their own, without gaps in what a user did; what was before is history. `carried` (u,)."""
    users, row = np.unique(features.row[rows], return_inverse=True)
    first = rows[np.searchsorted(row, np.arange(len(users)))]
    begin = np.searchsorted(features.row, users)  # of all that these users did
    columns = {name: getattr(features, name)[rows] for name in _PER_EVENT}
    histories = {}
    for name, column in (("item", features.item), ("action", features.action), ("time_ms", features.event_time_ms)):
        history = getattr(features, f"history_{name}")[users]
        for user in np.flatnonzero(first > begin).tolist():
            past = column[begin[user] : first[user]]
            history[user] = np.concatenate([history[user], past])[len(past) :]
        histories[f"history_{name}"] = history
    columns["row"] = row
    return FeatureBatch(**columns, **histories, carried=carried[users])


def without(rows: UserRows, kept: NDArray[np.bool_]) -> tuple[UserRows, NDArray[np.bool_], NDArray[np.int64]]:
    """The kept rows of an update, which of the events given to it they are (n,), and the users that remain (of u)."""
    events = np.zeros(len(rows), bool)
    events[rows.order[kept]] = True
    users, row = np.unique(rows.row[kept], return_inverse=True)
    left = replace(
        rows,
        order=(np.cumsum(events) - 1)[rows.order[kept]],
        row=row,
        row_of_user=rows.row_of_user[users],
        users=[rows.users[user] for user in users.tolist()],
        windows=rows.windows[kept],
        gap_ms=rows.gap_ms[kept],
        history=rows.history[users],
        digest=rows.digest[users],
    )
    return left, events, users


_PER_USER = ("history_item", "history_action", "history_time_ms", "carried")
_PER_EVENT = tuple(name for name in FeatureBatch.__dataclass_fields__ if name not in _PER_USER)


def _first_of_users(row: NDArray[np.int64], error: Exception) -> Rows:
    """Of the events that the error names, each user's first; `row` (n,) of the events that were scored."""
    named = np.array(sorted(error.rows), np.int64) if isinstance(error, NotFiniteError) else np.empty(0, np.int64)
    return named[np.unique(row[named], return_index=True)[1]]


def _joined(parts: Sequence[tuple[Rows, PredictionBatch]], carried: NDArray[np.void]) -> PredictionBatch:
    """One batch of them all, in order."""
    made = [one for _, one in parts]
    order = np.argsort(np.concatenate([rows for rows, _ in parts]))
    heads: Mapping[str, Mapping[str, NDArray[Any]]] = made[0].columns
    columns = {
        head: {name: np.concatenate([one.columns[head][name] for one in made])[order] for name in arrays}
        for head, arrays in heads.items()
    }
    return replace(
        made[0],
        columns=columns,
        modalities=np.concatenate([one.modalities for one in made])[order],
        cold_start=np.concatenate([one.cold_start for one in made])[order],
        carried=carried,
    )
