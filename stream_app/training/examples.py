"""Sequences with what became of them, through the stream's own update and features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fusion.inputs import CARRIED
from fusion.material import NEGATIVE, NEUTRAL, POSITIVE, Example, Outcomes
from stream_app.events import ACTIONS, EventBatch
from stream_app.state import StateSettings, TaskState
from stream_app.training.logs import HISTORY, Log

CHURN_HORIZON_S = 14 * 86_400
LONGEST = 256
"""Events of one user that are learned from; later ones are left out."""
SHARD = 2_500


def examples_of(log: Log, *, chosen: NDArray[np.bool_] | None = None, since_ms: int = 0) -> list[Example]:
    """Every user's history as one sequence, with its outcomes; of what was before `since_ms` none is known."""
    if not len(log.events):
        return []
    _, user = np.unique(log.events.user.astype(bytes), return_inverse=True)
    order = np.argsort(user, kind="stable")
    outcomes = outcomes_of(log.events.take(order), user[order], log.bots[order], end_ms=log.end_ms)
    back = np.argsort(order)
    outcomes = outcomes.take(back).unless(log.events.event_time_ms < since_ms)
    early = np.zeros(len(user), bool)
    early[order] = nth_of(user[order]) < LONGEST
    if chosen is not None:
        early &= chosen
    examples = []
    for shard in shards(np.bincount(user[early], minlength=int(user.max(initial=0)) + 1)):
        at = np.flatnonzero(early & np.isin(user, shard))
        if len(at):
            state = TaskState(StateSettings(), carried=CARRIED, history=HISTORY)
            events = log.events.take(at)
            rows = state.update(events)
            features, _ = state.features(events, rows)
            examples.append(Example(features, outcomes.take(at[rows.order])))
    return examples


def shards(count: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Users (numbers) of about equal length together, up to SHARD events; those without events left out."""
    users = np.argsort(count, kind="stable")
    users = users[count[users] > 0]
    return np.split(users, np.flatnonzero(np.diff(np.cumsum(count[users]) // SHARD)) + 1)


def outcomes_of(events: EventBatch, user: NDArray[np.int64], bots: NDArray[np.float32], *, end_ms: int) -> Outcomes:
    """What became of each event (n,); events of a user (a number) are consecutive and in order."""
    n, time = len(events), events.event_time_ms
    gap_ms, horizon_ms = StateSettings().session_gap_ms, CHURN_HORIZON_S * 1000
    fresh = np.ones(n, bool)
    fresh[1:] = (user[1:] != user[:-1]) | (time[1:] - time[:-1] >= gap_ms)
    session = np.cumsum(fresh) - 1
    goes_on = np.append(~fresh[1:], False)  # the next event is of the same session
    bought = np.cumsum(events.action == ACTIONS.index("purchase"))
    last = np.append(np.flatnonzero(fresh)[1:] - 1, n - 1)  # of each session
    returns = np.append(user[last[:-1] + 1] == user[last[:-1]], False)
    away_ms = np.where(returns, time[np.minimum(last + 1, n - 1)], end_ms) - time[last]
    watched = end_ms - time[last] >= horizon_ms  # else only those who came back would be known
    churn = np.where(watched, away_ms > horizon_ms, np.nan)
    rating = events.rating
    said = ~np.isnan(rating) & (events.text != None)  # noqa: E711  elementwise
    felt = np.select([rating < 2.5, rating < 3.5], [NEGATIVE, NEUTRAL], POSITIVE)
    return Outcomes(
        purchase=(bought[last][session] > bought).astype(np.float32),
        churn=churn[session].astype(np.float32),
        away_s=np.where(returns, away_ms, -away_ms)[session].astype(np.float32) / 1000,
        next_action=np.where(goes_on, np.append(events.action[1:], 0), -1).astype(np.int64),
        next_item=np.where(goes_on, np.append(events.item[1:], np.uint64(0)), np.uint64(0)),
        sentiment=np.where(said, felt, -1).astype(np.int64),
        anomaly=bots,
    )


def nth_of(user: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) 0, 1, 2 … within each run of equal users."""
    start = np.flatnonzero(np.diff(user, prepend=-1))
    number: NDArray[np.int64] = np.arange(len(user)) - np.repeat(start, np.diff(np.append(start, len(user))))
    return number


def size_of(examples: Sequence[Example]) -> int:
    """Events."""
    return sum(len(example.features) for example in examples)
