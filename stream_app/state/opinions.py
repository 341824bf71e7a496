"""Rules over what a user says, in the order in which it was applied. Pure: carries in, carries out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_app.events import ACTIONS, EventBatch
from stream_app.state.complaints import TOPICS, complained
from stream_app.state.runs import Ints, starts

REVIEW, VOICE = ACTIONS.index("review"), ACTIONS.index("voice")
CLEAR = 0.3
"""From here on (either way) a sentiment score says something."""
LOW, HIGH = 2.0, 4.0
"""Stars that say "bad" at most, "good" at least."""
FALL = 0.6
"""Drop from one opinion to the next that counts."""
REMEMBERED_MS = 86_400_000
"""How long a rating is held against what is said later."""


class Opinions(NamedTuple):
    """What m opinions (sentiment given) add to their windows."""

    at: Ints  # (m,) positions among the n events
    contradicted: NDArray[np.bool_]
    fell: NDArray[np.bool_]
    complaints: NDArray[np.bool_]  # (m, TOPICS)


def opinions(row: Ints, events: EventBatch, sentiment: NDArray[np.float32], base: NDArray[np.void]) -> Opinions:
    """Judge the opinions among n events of u users; updates `base` (u,): last sentiment and last stars.

    Contradicted: stars against the words of the same review, or speech against the stars of the last REMEMBERED_MS.
    """
    stance = np.where(events.rating <= LOW, -1, np.where(events.rating >= HIGH, 1, 0))
    held, held_ms = _carried(row, stance, events.event_time_ms, base)
    at = np.flatnonzero(~np.isnan(sentiment))
    said, user = sentiment[at], row[at]
    feeling = np.where(said <= -CLEAR, -1, np.where(said >= CLEAR, 1, 0))
    near = np.abs(events.event_time_ms[at] - held_ms[at]) <= REMEMBERED_MS
    against = np.where(events.action[at] == REVIEW, stance[at], np.where(near, held[at], 0))
    against = np.where((events.action[at] == REVIEW) | (events.action[at] == VOICE), against, 0)
    fell = np.zeros(len(at), np.bool_)
    if len(at):
        first = starts(user)
        previous = np.roll(said, 1)
        previous[first] = base["sentiment"][user[first]]
        fell = previous - said >= FALL  # NaN before the first opinion: never
        base["sentiment"][user] = said  # of several, the last one stays
    unhappy = (feeling < 0) | (stance[at] < 0)
    complaints = np.zeros((len(at), len(TOPICS)), np.bool_)
    for one in np.flatnonzero(unhappy).tolist():
        complaints[one] = complained(events.text[at[one]] or "")
    return Opinions(at, feeling * against < 0, fell, complaints)


def _carried(row: Ints, stance: Ints, time: Ints, base: NDArray[np.void]) -> tuple[Ints, Ints]:
    """(n,) the user's latest clear stars up to each event, and when; updates `base`."""
    held, held_ms = base["rated"][row].astype(np.int64), base["rated_ms"][row]
    rated = np.flatnonzero(stance)
    if len(rated):
        position = np.arange(len(row))
        last = np.full(len(row), -1, np.int64)
        last[rated] = rated
        last = np.maximum.accumulate(last)
        own = (last >= 0) & (row[np.maximum(last, 0)] == row[position])
        held[own], held_ms[own] = stance[last[own]], time[last[own]]
        base["rated"][row[rated]], base["rated_ms"][row[rated]] = stance[rated], time[rated]
    return held, held_ms
