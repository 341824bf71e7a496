"""Finds the events that the model cannot score, by halving; scores the others. Runs on the device thread.

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

from fusion.features import FeatureBatch, PredictionBatch
from stream_app.errors import ScoringError
from stream_app.state.user_rows import UserRows

log = logging.getLogger(__name__)

HOPELESS = 64
"""So many failures without one success are no poison: the model or its device is broken."""

Score = Callable[[FeatureBatch], PredictionBatch]


@dataclass(frozen=True)
class Scored:
    """Predictions of the kept events; `predictions.carried` is of all u users."""

    predictions: PredictionBatch | None  # None when nothing could be scored
    kept: NDArray[np.bool_]  # (n,) in the order of the FeatureBatch


def isolate(score: Score, features: FeatureBatch) -> Scored:
    """Score what can be scored. With k offenders among n events at most k * (log2 n + 1) + 1 forward passes.

    Raises ScoringError when the model itself must be at fault; then nothing may be set aside.
    """
    try:
        return Scored(score(features), np.ones(len(features), bool))
    except Exception as error:
        log.warning("the model failed on a batch", extra={"error": type(error).__name__, "events": len(features)})
    carried = features.carried.copy()
    parts: list[PredictionBatch] = []
    kept = np.zeros(len(features), bool)

    def scores(start: int, stop: int) -> bool:
        """Score start..stop; everything before is done."""
        try:
            made = score(part(features, start, stop, carried))
        except Exception:
            return False
        parts.append(made)
        carried[_users(features, start, stop)] = made.carried
        kept[start:stop] = True
        return True

    start, end = 0, len(features)
    while start < end:
        good = end  # start..good is known to fail
        while good - start > 1:
            middle = (start + good) // 2
            if scores(start, middle):
                start = middle
            else:
                good = middle
        start += 1  # the offender
        if start >= HOPELESS and not parts:
            raise ScoringError(f"the model failed on each of {start} events")
        if start == end or scores(start, end):
            break
    return Scored(_joined(parts, carried) if parts else None, kept)


def part(features: FeatureBatch, start: int, stop: int, carried: NDArray[np.void]) -> FeatureBatch:
    """Events start..stop as a batch of its own; what their users did before start is history. `carried` (u,)."""
    users = _users(features, start, stop)
    first = int(features.row[start])
    cut = int(np.searchsorted(features.row, first))  # the first user's first event
    columns = {name: getattr(features, name)[start:stop] for name in _PER_EVENT}
    histories = {}
    for name, column in (("item", features.item), ("action", features.action), ("time_ms", features.event_time_ms)):
        history = getattr(features, f"history_{name}")[users].copy()
        history[0] = np.concatenate([history[0], column[cut:start]])[start - cut :]
        histories[f"history_{name}"] = history
    columns["row"] = columns["row"] - first
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


def _users(features: FeatureBatch, start: int, stop: int) -> slice:
    return slice(int(features.row[start]), int(features.row[stop - 1]) + 1)


def _joined(parts: Sequence[PredictionBatch], carried: NDArray[np.void]) -> PredictionBatch:
    """One batch of them all, in order."""
    heads: Mapping[str, Mapping[str, NDArray[Any]]] = parts[0].columns
    columns = {
        head: {name: np.concatenate([one.columns[head][name] for one in parts]) for name in arrays}
        for head, arrays in heads.items()
    }
    return replace(
        parts[0],
        columns=columns,
        modalities=np.concatenate([one.modalities for one in parts]),
        cold_start=np.concatenate([one.cold_start for one in parts]),
        carried=carried,
    )
