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
from fusion.features import PER_EVENT, FeatureBatch, PredictionBatch
from stream_app.errors import ScoringError
from stream_app.state.user_rows import UserRows

log = logging.getLogger(__name__)

HOPELESS = 64
"""So many failures without one success are no poison: the model or its device is broken."""

Rows = NDArray[np.int64]
Score = Callable[[FeatureBatch], PredictionBatch]


@dataclass(frozen=True)
class Scored:
    """Predictions of the kept events; `predictions.carried` is of all u users."""

    predictions: PredictionBatch | None  # None when nothing could be scored
    kept: NDArray[np.bool_]  # (n,) in the order of the FeatureBatch


def isolate(score: Score, features: FeatureBatch, *, halving: bool = True) -> Scored:
    """Score what can be scored.

    Where the model names events and answers all others, that is all. Where it names some and answers none, each
    user's first one is to blame, and the others are scored again: all but what these users did later, then that, once
    more for each further offender of one user. Where it names none, at most k * (log2 n + 1) + 1 passes find k
    offenders. Raises ScoringError when the model itself must be at fault, or when nobody is named and there shall be
    no `halving`; then nothing may be set aside.
    """
    try:
        return Scored(score(features), np.ones(len(features), bool))
    except Exception as error:
        search = _Search(score, features, halving=halving)
        search.settle(np.arange(len(features)), error)
    return search.result()


class _Search:
    """What is scored so far, in parts; everything that a part's users did before it must have been tried."""

    def __init__(self, score: Score, features: FeatureBatch, *, halving: bool) -> None:
        self._score = score
        self._halving = halving
        self._features = features
        self._carried = features.carried.copy()
        self._kept = np.zeros(len(features), bool)
        self._parts: list[tuple[Rows, PredictionBatch]] = []
        self._offenders = 0

    def settle(self, rows: Rows, error: Exception | None = None) -> None:
        """Score these events, all but the offenders; `error` is what came of scoring them together."""
        while len(rows):
            left = self._scores(rows) if error is None else self._after(rows, error)
            error = None
            if left is None:
                self._halve(rows)
                break
            rows = left

    def result(self) -> Scored:
        """All parts as one batch."""
        if len(self._parts) == 1:
            return Scored(replace(self._parts[0][1], carried=self._carried), self._kept)
        return Scored(_joined(self._parts, self._carried) if self._parts else None, self._kept)

    def _scores(self, rows: Rows) -> Rows | None:
        """Score these events together; returns what is left of them, None where the model fails and names nobody."""
        try:
            made = self._score(chosen(self._features, rows, self._carried))
        except Exception as error:
            return self._after(rows, error)
        self._keep(rows, made, np.unique(self._features.row[rows]))
        return rows[:0]

    def _after(self, rows: Rows, error: Exception) -> Rows | None:
        """What is left of these events when the model is believed whom it named; None where it named nobody."""
        named = error.rows if isinstance(error, NotFiniteError) else np.empty(0, np.int64)
        told = {"error": type(error).__name__, "events": len(rows), "refused": len(named)}
        log.warning("the model failed on a batch", extra=told)
        if not len(named):
            return None
        if isinstance(error, NotFiniteError) and error.made is not None:
            self._keep(np.delete(rows, named), error.made, np.unique(self._features.row[rows]))
            self._blame(len(named))
            return rows[:0]
        return self._believe(rows, named)

    def _believe(self, rows: Rows, named: Rows) -> Rows:
        """Blame each user's first named event; returns what these users did after it."""
        users, row = np.unique(self._features.row[rows], return_inverse=True)
        guilty, at = np.unique(row[named], return_index=True)
        first = np.full(len(users), len(rows))  # (u,) the place of the first named event
        first[guilty] = named[at]
        place, until = np.arange(len(rows)), first[row]
        self.settle(rows[place < until])
        self._blame(len(guilty))
        return rows[place > until]

    def _halve(self, rows: Rows) -> None:
        """Score these events, all but the offenders, of which there is one."""
        if not self._halving:
            raise ScoringError("the model failed on a batch and named nobody")
        start, end = 0, len(rows)
        while start < end:
            good = end  # start..good is known to fail
            while good - start > 1:
                middle = (start + good) // 2
                if self._done(rows[start:middle]):
                    start = middle
                else:
                    good = middle
            start += 1  # the offender
            self._blame(1)
            if start == end or self._done(rows[start:end]):
                break

    def _done(self, rows: Rows) -> bool:
        """Score these events, if the model does not fail on them without naming anybody."""
        left = self._scores(rows)
        if left is not None:
            self.settle(left)
        return left is not None

    def _keep(self, rows: Rows, made: PredictionBatch, users: Rows) -> None:
        self._parts.append((rows, made))
        self._carried[users] = made.carried
        self._kept[rows] = True

    def _blame(self, count: int) -> None:
        self._offenders += count
        if self._offenders >= HOPELESS and not self._parts:
            raise ScoringError(f"the model failed on each of {self._offenders} events")


def chosen(features: FeatureBatch, rows: Rows, carried: NDArray[np.void]) -> FeatureBatch:
    """Events as a batch of their own, without gaps in what a user did; what was before is history. `carried` (u,)."""
    users, row = np.unique(features.row[rows], return_inverse=True)
    first = rows[np.searchsorted(row, np.arange(len(users)))]
    begin = np.searchsorted(features.row, users)  # of all that these users did
    columns = {name: getattr(features, name)[rows] for name in PER_EVENT}
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
