"""Grades against a brute-force recount, however the events are cut into batches."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fusion.features import NO_ACTION, NO_TRACK, NUMERICS, FeatureBatch, PredictionBatch
from stream_app.events import ACTIONS
from stream_app.models.grader import BUYS, PENDING, SAMPLED, Grader
from stream_app.models.grades import BINS, Grade
from stream_app.models.memory import held_dtype

GAP_S, HORIZON_S = 1800, 14 * 86_400
CARRIED = np.dtype([("state", "i1", (8,))])
VIEW = ACTIONS.index("view")


class Step(NamedTuple):
    """One event with the answers to it."""

    user: int
    time_s: int
    action: int
    purchase: float
    churn: float
    following: tuple[float, ...]


def steps(seed: int, *, users: int, events: int) -> list[Step]:
    """Users who come in sessions and sometimes buy."""
    rng = np.random.default_rng(seed)
    clock = dict.fromkeys(range(users), 1_700_000_000)
    made = []
    for _ in range(events):
        user = int(rng.integers(users))
        pause = rng.choice([3, 40, 600, 4_000, 90_000, 20 * 86_400], p=[0.3, 0.3, 0.2, 0.1, 0.07, 0.03])
        clock[user] += int(pause)
        scores = rng.dirichlet(np.ones(len(ACTIONS)))
        action = BUYS if rng.random() < 0.15 else int(rng.integers(len(ACTIONS)))
        made.append(Step(user, clock[user], action, rng.random(), rng.random(), tuple(scores.tolist())))
    return made


class Run:
    """What a task does with them."""

    def __init__(self, *grades: Grade) -> None:
        self.grades = grades
        self.grader = Grader({grade.number: grade for grade in grades}, session_gap_ms=GAP_S * 1000)
        self.held = np.zeros(64, held_dtype(CARRIED))
        self.seen: dict[int, int] = {}

    def batch(self, part: list[Step], grade: Grade) -> None:
        part = sorted(part, key=lambda step: step.user)
        users = sorted({step.user for step in part})
        gaps = []
        for step in part:
            gaps.append(float(step.time_s - self.seen[step.user]) if step.user in self.seen else -1.0)
            self.seen[step.user] = step.time_s
        rows = np.array([63 - user for user in users], np.int64)
        features = batch_of(part, users, gaps)
        columns: dict[str, dict[str, NDArray[Any]]] = {
            "purchase": {"score": np.array([step.purchase for step in part], np.float32)},
            "churn": {"score": np.array([step.churn for step in part], np.float32)},
            "next_action": {"scores": np.array([step.following for step in part], np.float32)},
        }
        n = len(part)
        predictions = PredictionBatch(columns, np.ones((n, 4), np.float32), features.carried, np.zeros(n, bool), 0)
        held = self.held[rows]
        self.grader.observe(grade, HORIZON_S, features, predictions, rows=rows, held=held)
        self.held[rows] = held


def batch_of(part: list[Step], users: list[int], gaps: list[float]) -> FeatureBatch:
    n, u = len(part), len(users)
    none, words = np.zeros(n, np.uint64), np.full(n, None, object)
    return FeatureBatch(
        row=np.array([users.index(step.user) for step in part], np.int64),
        event_time_ms=np.array([step.time_s * 1000 for step in part], np.int64),
        action=np.array([step.action for step in part], np.uint8),
        item=none,
        category=none,
        brand=none,
        gap_s=np.array(gaps, np.float32),
        numerics=np.full((n, len(NUMERICS)), np.nan, np.float32),
        track=np.full(n, NO_TRACK, np.uint8),
        text=words,
        confidence=np.full(n, np.nan, np.float32),
        word_confidence=words,
        image=words,
        history_item=np.zeros((u, 4), np.uint64),
        history_action=np.full((u, 4), NO_ACTION, np.uint8),
        history_time_ms=np.zeros((u, 4), np.int64),
        carried=np.zeros(u, CARRIED),
    )


def sessions(stream: list[Step]) -> list[list[Step]]:
    """Every session of every user."""
    found: list[list[Step]] = []
    for user in {step.user for step in stream}:
        mine = [step for step in stream if step.user == user]
        for at, step in enumerate(mine):
            if at == 0 or step.time_s - mine[at - 1].time_s >= GAP_S:
                found.append([])
            found[-1].append(step)
    return found


def grade(number: int = 1) -> Grade:
    return Grade(f"m{number}", number, ACTIONS)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 3, 17, 200]), st.integers(1, 4))
def test_purchase_and_next_action_are_graded_as_a_recount_does(seed: int, limit: int, buffered: int) -> None:
    stream = steps(seed, users=7, events=200)
    made = grade()
    run = Run(made)
    for first in range(0, len(stream), limit):
        run.batch(stream[first : first + limit], made)
        if first % buffered == 0:
            run.grader.flush()
    end_s = max(step.time_s for step in stream) + GAP_S
    run.grader.sweep(run.held, end_s * 1000, idle=True)

    brier = loss = told = 0.0
    yes = 0
    for session in sessions(stream):
        for at, step in enumerate(session):
            bought = any(later.action == BUYS for later in session[at + 1 :])
            yes += bought
            brier += (step.purchase - bought) ** 2
            loss -= np.log(step.purchase if bought else 1 - step.purchase)
            if at + 1 < len(session):
                told -= np.log(step.following[session[at + 1].action])
    assert made.graded("purchase") == len(stream)
    assert made.outcomes[0, 1, :BINS].sum() == yes
    assert made.brier("purchase") == pytest.approx(brier, rel=1e-4)
    assert made.log_loss("purchase") == pytest.approx(loss, rel=1e-4)
    assert made.graded("next_action") == len(stream) - len(sessions(stream))
    assert made.log_loss("next_action") == pytest.approx(told, rel=2e-3)  # one answer per user waits as float16


def test_a_churn_answer_is_graded_after_the_horizon_whatever_the_outcome() -> None:
    start = 1_700_000_000 // SAMPLED * SAMPLED
    made = grade()
    run = Run(made)
    scores = (1 / len(ACTIONS),) * len(ACTIONS)

    def visit(user: int, after_s: int, churn: float) -> None:
        run.batch([Step(user, start + after_s, VIEW, 0.5, churn, scores)], made)

    for user, churn in ((0, 0.1), (1, 0.8), (2, 0.9)):
        visit(user, 0, churn)
    visit(0, 86_400 + 1, 0.5)  # back in time
    visit(1, HORIZON_S + 86_401, 0.5)  # back too late
    assert made.graded("churn") == 1, "who came back in time is graded with the others, not before"
    run.grader.sweep(run.held, (start + HORIZON_S) * 1000, idle=True)
    assert made.graded("churn") == 3

    no, yes = made.outcomes[1]
    assert (no[:BINS].sum(), yes[:BINS].sum()) == (1, 2)
    assert made.brier("churn") == pytest.approx(0.1**2 + 0.2**2 + 0.1**2, rel=1e-4)
    run.grader.sweep(run.held, (start + HORIZON_S) * 1000, idle=True)
    assert made.graded("churn") == 3, "once"


def test_a_session_that_goes_on_moves_the_horizon() -> None:
    start = 1_700_000_000 // SAMPLED * SAMPLED
    made = grade()
    run = Run(made)
    scores = (1 / len(ACTIONS),) * len(ACTIONS)
    for after_s in (0, 601):
        run.batch([Step(0, start + after_s, VIEW, 0.5, 0.3, scores)], made)

    run.grader.sweep(run.held, (start + HORIZON_S + 600) * 1000, idle=True)
    assert made.graded("churn") == 0
    run.grader.sweep(run.held, (start + HORIZON_S + 601) * 1000, idle=True)
    assert made.graded("churn") == 1


def test_after_a_swap_a_session_in_progress_counts_for_neither_model_and_later_ones_for_the_new() -> None:
    old, new = grade(1), grade(2)
    run = Run(old, new)
    scores = (1 / len(ACTIONS),) * len(ACTIONS)
    step = Step(0, 1_700_000_000, VIEW, 0.2, 0.5, scores)
    run.batch([step], old)
    run.batch([step._replace(time_s=step.time_s + 10, purchase=0.4)], new)
    run.batch([step._replace(time_s=step.time_s + 20, action=BUYS, purchase=0.1)], new)
    run.grader.sweep(run.held, (step.time_s + GAP_S + 20) * 1000, idle=True)

    assert old.graded("purchase") == old.graded("next_action") == 0
    assert (new.graded("purchase"), new.graded("next_action")) == (2, 1)
    assert new.brier("purchase") == pytest.approx(0.6**2 + 0.1**2, rel=1e-4)


def test_what_waits_of_a_model_is_graded_as_that_models_when_another_has_taken_over() -> None:
    old, new = grade(1), grade(2)
    run = Run(old, new)
    scores = (1 / len(ACTIONS),) * len(ACTIONS)
    run.batch([Step(0, 1_700_000_000, VIEW, 0.2, 0.5, scores)], old)
    run.batch([Step(0, 1_700_000_000 + 2 * GAP_S, VIEW, 0.9, 0.5, scores)], new)
    run.grader.flush()

    assert (old.graded("purchase"), new.graded("purchase")) == (1, 0)
    assert old.brier("purchase") == pytest.approx(0.04, rel=1e-4)


def test_a_new_user_in_a_freed_place_inherits_nothing() -> None:
    made = grade()
    run = Run(made)
    scores = (1 / len(ACTIONS),) * len(ACTIONS)
    run.batch([Step(0, 1_700_000_000, VIEW, 0.2, 0.5, scores)], made)
    run.grader.flush()
    run.seen.clear()
    run.batch([Step(0, 1_700_000_100, BUYS, 0.2, 0.5, scores)], made)
    run.grader.flush()

    assert made.graded("purchase") == made.graded("next_action") == 0


def test_the_state_of_an_answer_that_waits_is_as_large_as_it_says() -> None:
    assert PENDING.itemsize == 188
    assert held_dtype(CARRIED).itemsize - CARRIED.itemsize == 24
