"""Answers that wait for their truth, per user of one task; grades them as the stream brings it.

The truth is what training learns from: does the user buy later in the session; does no session begin within the churn
horizon after this one; what comes next in the session. An answer is graded once its session is over whatever the
outcome (churn: the horizon too), so that early figures do not lean towards the outcomes that show first.

Purchase and next action wait in memory: lost at a restart or a move to another worker are the answers of the sessions
then open, and all sums so far. Churn waits in `Held`, in the changelog: lost is nothing, but silent users whose horizon
ended since their last event are graded once more. After a swap the sessions in progress count for neither model.
Of churn one answer waits per user, of a batch that ends on one second in four.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusion.features import FeatureBatch, PredictionBatch
from stream_app.events import ACTIONS
from stream_app.models.grades import STATS, Grade, stats
from stream_app.models.memory import Held
from stream_app.state.records import gathered, scatter

Ints = NDArray[np.int64]

OPEN, WON = 0, 1
PENDING = np.dtype(
    [
        ("by", "u4"),  # Grade.number, 0: nothing waits
        ("last_s", "u4"),  # event time of the latest event
        ("answers", "f4", (2, STATS)),  # of this session: before no purchase so far, before one
        ("next", "f2", (len(ACTIONS),)),  # probability of each next action
    ]
)
"""188 bytes per user held."""
BUYS = ACTIONS.index("purchase")
SAMPLED = 4
FIRST_ROWS = 1024


class Grader:
    """One per task and role (live, shadow); one thread at a time. `grades` by number, of all models that may wait."""

    def __init__(self, grades: Mapping[int, Grade], *, session_gap_ms: int) -> None:
        self._grades = grades
        self._gap_s = session_gap_ms / 1000
        self._table = np.zeros(FIRST_ROWS, PENDING)
        self._since = 0  # events since the last sweep

    @property
    def memory_bytes(self) -> int:
        """Of the table."""
        return self._table.nbytes

    def observe(
        self,
        grade: Grade,
        horizon_s: int,
        features: FeatureBatch,
        predictions: PredictionBatch,
        *,
        rows: Ints,
        held: Held,
    ) -> None:
        """n events of u users with the answers to them; `rows` (u,) are the users' places, `held` (u,) is written."""
        if not len(features):
            return
        self._reserve(int(rows.max()) + 1)
        batch = _divided(features, self._gap_s)
        waiting = gathered(self._table, rows)
        new = features.gap_s[batch.first] < 0  # whatever waits was of the place's last owner
        waiting["by"][new] = 0
        held["churn_s"][new] = 0
        self._grade_next(grade, batch, predictions.columns["next_action"]["scores"], waiting)
        self._grade_purchase(grade, batch, predictions.columns["purchase"]["score"], waiting)
        self._grade_churn(grade, horizon_s, batch, predictions.columns["churn"]["score"], held)
        waiting["by"], waiting["last_s"] = grade.number, batch.time_s[batch.last]
        scatter(self._table, rows, waiting)
        self._since += len(features)

    def forget(self, rows: Ints) -> None:
        """What waits of these users has lost its way: an event of theirs could not be scored."""
        self._reserve(int(rows.max(initial=0)) + 1)
        self._table["by"][rows] = 0

    def sweep(self, held: Held, watermark_ms: int, *, idle: bool = False) -> None:
        """Grade what silent users left waiting; `held` are all users' rows. Does nothing most of the time.

        A sweep costs some 30 ns per user held, so unless idle it comes after as many events as there are users.
        """
        if not idle and self._since < max(len(held), 4 * FIRST_ROWS):
            return
        self._since = 0
        watermark_s = watermark_ms // 1000
        table = self._table
        over = np.flatnonzero((table["by"] > 0) & (table["last_s"] + self._gap_s <= watermark_s))
        self._release(table, over)
        table["by"][over] = 0
        self._settle(held, np.flatnonzero((held["churn_s"] > 0) & (held["churn_s"] <= watermark_s)))

    def _grade_next(self, grade: Grade, batch: _Batch, scores: NDArray[Any], waiting: Held) -> None:
        """Within the batch the next event is at hand; the answer before it waited in the table."""
        ours = in_our_order(scores, grade.actions)  # (n, actions)
        action = batch.action
        then = ~batch.fresh
        then[batch.first] = False
        after = np.flatnonzero(then)
        known = batch.goes_on & (waiting["by"] == grade.number)
        said = np.concatenate([ours[after - 1], waiting["next"][known]])
        what = np.concatenate([action[after], action[batch.first[known]]])
        if len(what):
            given = said[np.arange(len(what)), what]
            grade.add_choices(given, given >= said.max(1))
        waiting["next"] = ours[batch.last]

    def _grade_purchase(self, grade: Grade, batch: _Batch, score: NDArray[Any], waiting: Held) -> None:
        """Sums per part of a session: answers before a purchase and others; what waited joins its session's part."""
        parts = len(batch.start)
        bought = np.maximum.reduceat(np.where(batch.action == BUYS, np.arange(len(score)), -1), batch.start)  # (s,)
        won = np.arange(len(score)) < bought[batch.session]
        made = stats(score, batch.session * 2 + won, 2 * parts).reshape(parts, 2, STATS)
        self._release(waiting, np.flatnonzero(~batch.goes_on & (waiting["by"] > 0)))
        joining = np.flatnonzero(batch.goes_on & (waiting["by"] == grade.number))
        joins, at = waiting["answers"][joining], batch.head[joining]
        now_won = bought[at] >= 0
        joins[now_won, WON] += joins[now_won, OPEN]
        joins[now_won, OPEN] = 0
        made[at] += joins
        waiting["answers"] = made[batch.tail]
        if parts > len(batch.tail):
            made[batch.tail] = 0
            done = made.sum(0)
            grade.add("purchase", done[OPEN], done[WON])

    def _release(self, waiting: Held, over: Ints) -> None:
        """The sessions of these rows have ended."""
        by, answers = waiting["by"][over], waiting["answers"][over]
        for number in set(by.tolist()):
            if (grade := self._grades.get(number)) is not None:
                done = answers[by == number].sum(0, dtype=np.float64)
                grade.add("purchase", done[OPEN], done[WON])

    def _grade_churn(self, grade: Grade, horizon_s: int, batch: _Batch, score: NDArray[Any], held: Held) -> None:
        """One answer per user: its session goes on, then a next one begins in time or not, then it is graded."""
        waits = held["churn_s"] > 0
        same = waits & batch.goes_on & (held["back"] == 0)  # its session, as no later one has begun
        ended_s = batch.time_s[
            np.append(batch.start[1:], len(score))[batch.head] - 1
        ]  # last event of that session here
        held["churn_s"][same] = ended_s[same] + horizon_s
        next_session = batch.head + batch.goes_on  # (u,) the first part that begins anew
        begins = waits & (next_session <= batch.tail) & (held["back"] == 0)
        began_s = batch.time_s[batch.start[np.minimum(next_session, len(batch.start) - 1)]]
        held["back"][begins & (began_s <= held["churn_s"])] = 1
        due = np.flatnonzero(waits & (held["churn_s"] <= batch.time_s[batch.last]))
        self._settle(held, due)
        idle = held["churn_s"] == 0
        chosen = np.flatnonzero(idle & (batch.time_s[batch.last] % SAMPLED == 0))
        held["churn"][chosen], held["churn_by"][chosen] = score[batch.last[chosen]], grade.number
        held["churn_s"][chosen], held["back"][chosen] = batch.time_s[batch.last[chosen]] + horizon_s, 0

    def _settle(self, held: Held, due: Ints) -> None:
        """Grade these rows' churn answers; the model must still be known."""
        by, gone = held["churn_by"][due], (held["back"][due] == 0).astype(np.int64)
        for number in set(by.tolist()):
            if (grade := self._grades.get(number)) is not None:
                mine = by == number
                no, yes = stats(held["churn"][due][mine], gone[mine], 2)
                grade.add("churn", no, yes)
        held["churn_s"][due] = 0

    def _reserve(self, count: int) -> None:
        if count > len(self._table):
            table = np.zeros(max(count, 2 * len(self._table)), PENDING)
            scatter(table, slice(0, len(self._table)), self._table)
            self._table = table


class _Batch(NamedTuple):
    """n events of u users in s parts of sessions."""

    action: Ints  # (n,)
    time_s: Ints  # (n,)
    fresh: NDArray[np.bool_]  # (n,) begins a session
    goes_on: NDArray[np.bool_]  # (u,) the first event belongs to the session before
    first: Ints  # (u,)
    last: Ints  # (u,)
    start: Ints  # (s,)
    session: Ints  # (n,) which part
    head: Ints  # (u,) first part
    tail: Ints  # (u,) last part


def _divided(features: FeatureBatch, gap_s: float) -> _Batch:
    first = np.flatnonzero(np.diff(features.row, prepend=-1))
    last = np.append(first[1:], len(features)) - 1
    fresh = (features.gap_s < 0) | (features.gap_s >= gap_s)
    begins = fresh.copy()
    begins[first] = True
    session = np.cumsum(begins) - 1
    return _Batch(
        action=features.action.astype(np.int64),
        time_s=features.event_time_ms // 1000,
        fresh=fresh,
        goes_on=~fresh[first],
        first=first,
        last=last,
        start=np.flatnonzero(begins),
        session=session,
        head=session[first],
        tail=session[last],
    )


def in_our_order(scores: NDArray[Any], actions: Sequence[str]) -> NDArray[Any]:
    """(n, ACTIONS) of probabilities in a model's own vocabulary; 0 for actions that it does not know."""
    if tuple(actions) == ACTIONS:
        return scores
    known = {name: at for at, name in enumerate(actions)}
    padded = np.concatenate([scores, np.zeros((len(scores), 1), scores.dtype)], axis=1)
    return padded[:, [known.get(name, len(actions)) for name in ACTIONS]]
