"""Answers that wait for their truth, per user of one task; grades them as the stream brings it.

The truth is what training learns from: does the user buy later in the session; does no session begin within the churn
horizon after this one; what comes next in the session. An answer is graded once its session is over whatever the
outcome (churn: the horizon too), so that early figures do not lean towards the outcomes that show first.

Purchase and next action wait in memory: lost at a restart or a move to another worker are the answers of the sessions
then open, and all sums so far. Churn waits in `Held`, in the changelog: lost is nothing, but silent users whose horizon
ended since their last event are graded once more. After a swap the sessions in progress count for neither model.
Events are looked at a few thousand at a time, which costs a third of every batch by itself.
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
BUFFERED = 4096
"""Events that are looked at together."""


class Grader:
    """One per task and role (live, shadow); one thread at a time. `grades` by number, of all models that may wait."""

    def __init__(self, grades: Mapping[int, Grade], *, session_gap_ms: int) -> None:
        self._grades = grades
        self._gap_s = session_gap_ms / 1000
        self._table = np.zeros(FIRST_ROWS, PENDING)
        self._buffer: list[_Part] = []
        self._by: Grade | None = None  # who answered what is in the buffer
        self._buffered = 0
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
        columns = predictions.columns
        part = _Part(
            place=rows[features.row],
            action=features.action,
            time_s=features.event_time_ms // 1000,
            gap_s=features.gap_s,
            purchase=columns["purchase"]["score"],
            following=columns["next_action"]["scores"],
        )
        self._grade_churn(grade, horizon_s, part, features.row, columns["churn"]["score"], held)
        if grade is not self._by:
            self.flush()
            self._by = grade
        self._buffer.append(part)
        self._buffered += len(features)
        self._since += len(features)
        if self._buffered >= BUFFERED:
            self.flush()

    def flush(self) -> None:
        """Look at what has been observed."""
        if self._by is None or not self._buffer:
            return
        grade, parts = self._by, self._buffer
        self._buffer, self._buffered = [], 0
        columns = map(np.concatenate, zip(*parts, strict=True))
        joined = _Part(*columns)
        order = np.argsort(joined.place, kind="stable")  # a user's events stay in order
        ordered = _Part(*(column[order] for column in joined))  # type: ignore[arg-type]  # all are arrays
        batch = _divided(ordered, self._gap_s)
        rows = batch.part.place[batch.first]
        self._reserve(int(rows[-1]) + 1)
        waiting = gathered(self._table, rows)
        waiting["by"][batch.part.gap_s[batch.first] < 0] = 0  # whatever waits was of the place's last owner
        self._grade_next(grade, batch, waiting)
        self._grade_purchase(grade, batch, waiting)
        waiting["by"], waiting["last_s"] = grade.number, batch.part.time_s[batch.last]
        scatter(self._table, rows, waiting)

    def forget(self, rows: Ints) -> None:
        """What waits of these users has lost its way: an event of theirs could not be scored."""
        self.flush()
        self._reserve(int(rows.max(initial=0)) + 1)
        self._table["by"][rows] = 0

    def sweep(self, held: Held, watermark_ms: int, *, idle: bool = False) -> None:
        """Grade what silent users left waiting; `held` are all users' rows. Does nothing most of the time.

        A sweep costs some 30 ns per user held, so unless idle it comes after as many events as there are users.
        """
        if not idle and self._since < max(len(held), BUFFERED):
            return
        self.flush()
        self._since = 0
        watermark_s = watermark_ms // 1000
        table = self._table
        over = np.flatnonzero((table["by"] > 0) & (table["last_s"] + self._gap_s <= watermark_s))
        self._release(table, over)
        table["by"][over] = 0
        self._settle(held, np.flatnonzero((held["churn_s"] > 0) & (held["churn_s"] <= watermark_s)))

    def _grade_next(self, grade: Grade, batch: _Batch, waiting: Held) -> None:
        """Within the batch the next event is at hand; the answer before it waited in the table."""
        ours = in_our_order(batch.part.following, grade.actions)  # (n, actions)
        action = batch.part.action
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

    def _grade_purchase(self, grade: Grade, batch: _Batch, waiting: Held) -> None:
        """Sums per part of a session: answers before a purchase and others; what waited joins its session's part."""
        parts, place = len(batch.start), np.arange(len(batch.session))
        bought = np.maximum.reduceat(np.where(batch.part.action == BUYS, place, -1), batch.start)  # (s,) -1 never
        won = place < bought[batch.session]
        made = stats(batch.part.purchase, batch.session * 2 + won, 2 * parts).reshape(parts, 2, STATS)
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

    def _grade_churn(
        self, grade: Grade, horizon_s: int, part: _Part, row: Ints, score: NDArray[Any], held: Held
    ) -> None:
        """One answer per user: its session goes on, then a next one begins in time or not, then it is graded.

        At once, with each batch: what waits is written to the log together with the users' states.
        """
        time_s, n = part.time_s, len(row)
        first = np.flatnonzero(np.diff(row, prepend=-1))
        last = np.append(first[1:], n) - 1
        fresh = (part.gap_s < 0) | (part.gap_s >= self._gap_s)
        held["churn_s"][part.gap_s[first] < 0] = 0
        began = np.minimum.reduceat(np.where(fresh, np.arange(n), n), first)  # (u,) the first event of a next session
        begins = began <= last
        waits = (held["churn_s"] > 0) & (held["back"] == 0)
        ended = np.where(begins, began - 1, last)  # of the session that was open; before `first`: in an earlier batch
        same = np.flatnonzero(waits & (ended >= first))
        held["churn_s"][same] = time_s[ended[same]] + horizon_s
        next_one = np.flatnonzero(waits & begins)
        held["back"][next_one[time_s[began[next_one]] <= held["churn_s"][next_one]]] = 1
        now_s = time_s[last]
        self._settle(held, np.flatnonzero((held["churn_s"] > 0) & (held["churn_s"] <= now_s)))
        chosen = np.flatnonzero((held["churn_s"] == 0) & (now_s % SAMPLED == 0))
        held["churn"][chosen], held["churn_by"][chosen] = score[last[chosen]], grade.number
        held["churn_s"][chosen], held["back"][chosen] = now_s[chosen] + horizon_s, 0

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


class _Part(NamedTuple):
    """What is read of n events and the answers to them."""

    place: Ints  # (n,) of the user
    action: NDArray[np.uint8]  # (n,)
    time_s: Ints  # (n,)
    gap_s: NDArray[np.float32]  # (n,)
    purchase: NDArray[Any]  # (n,)
    following: NDArray[Any]  # (n, actions of the model)


class _Batch(NamedTuple):
    """n events of u users in s parts of sessions."""

    part: _Part
    fresh: NDArray[np.bool_]  # (n,) begins a session
    goes_on: NDArray[np.bool_]  # (u,) the first event belongs to the session before
    first: Ints  # (u,)
    last: Ints  # (u,)
    start: Ints  # (s,)
    session: Ints  # (n,) which part
    head: Ints  # (u,) first part
    tail: Ints  # (u,) last part


def _divided(part: _Part, gap_s: float) -> _Batch:
    first = np.flatnonzero(np.diff(part.place, prepend=-1))
    last = np.append(first[1:], len(part.place)) - 1
    fresh = (part.gap_s < 0) | (part.gap_s >= gap_s)
    begins = fresh.copy()
    begins[first] = True
    session = np.cumsum(begins) - 1
    return _Batch(
        part=part,
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
