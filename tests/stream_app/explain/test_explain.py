"""What mattered, and how it is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fusion.inputs import CARRIED
from fusion.scorer import Scorer
from fusion.shapley import ANSWERS, probabilities
from stream_app.evaluation.traffic import traffic
from stream_app.events import ACTIONS, EventBatch
from stream_app.explain.explanation import explanation
from stream_app.explain.occlusion import without
from stream_app.explain.past import Past
from stream_app.explain.words import phrase
from stream_app.state import StateSettings, TaskState


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer.load(device="cpu", actions=ACTIONS)


@pytest.fixture(scope="module")
def events() -> EventBatch:
    """The events of one busy user."""
    found = traffic(800, seed=4)
    users, count = np.unique(found.user.astype(str), return_counts=True)
    return found.take(found.user == users[count.argmax()].encode()).take(slice(0, 60))


def last_answer(scorer: Scorer, events: EventBatch) -> np.ndarray:
    """The probabilities after the last of the events, one event a batch."""
    state = TaskState(StateSettings(), carried=CARRIED, history=scorer.history)
    for at in range(len(events)):
        part = events.take(slice(at, at + 1))
        rows = state.update(part)
        answer = scorer.score(state.features(part, rows)[0])
        c = answer.columns
        state.carry(
            rows,
            answer.carried,
            events=part,
            purchase=c["purchase"]["score"],
            churn=c["churn"]["score"],
            anomaly=c["anomaly"]["score"],
            segment=c["segment"]["id"],
            sentiment=np.full(1, np.nan, np.float32),
        )
    return probabilities({name: c[name] for name in ANSWERS})[0]


def test_an_effect_is_the_answer_with_less_the_answer_without(scorer: Scorer, events: EventBatch) -> None:
    places = [np.array([len(events) - 1]), np.array([3, 4, 9]), np.array([0])]
    again = without(scorer, events, places, settings=StateSettings())
    whole = last_answer(scorer, events)
    for left_out, effect in zip(places, again.effects, strict=True):
        rest = last_answer(scorer, events.take(np.setdiff1d(np.arange(len(events)), left_out)))
        np.testing.assert_allclose(effect.influence, np.abs(whole - rest).sum(), atol=0.02)
        np.testing.assert_allclose(effect.purchase, whole[0] - rest[0], atol=0.01)
    assert max(effect.influence for effect in again.effects) > 0


def test_a_user_with_one_event_is_explained(scorer: Scorer, events: EventBatch) -> None:
    again = without(scorer, events.take(slice(0, 1)), [np.array([0])], settings=StateSettings())
    assert again.effects[0].influence < 1e-5


def test_an_explanation_names_the_kinds_of_events_and_tells_another_answer(scorer: Scorer, events: EventBatch) -> None:
    scores = without(scorer, events, [], settings=StateSettings()).scores
    outputs = {name: {"score": score} for name, score in scores.items()}
    prediction = {
        "user_id": events.user[0].decode(),
        "event_id": events.event_id[-1],
        "event_time": "2025-01-01T00:00:00Z",
        "model": scorer.model._asdict(),
        "outputs": outputs,
        "modalities": {"behavior": 1.0},
    }
    found = explanation(Past(prediction, events, 0), scorer, settings=StateSettings(), most=5)
    assert found["reproduced"]
    assert [one["event_id"] for one in found["events"]] == events.event_id[-5:].tolist()
    near = events.take(slice(max(0, len(events) - scorer.history - 1), None))
    assert {one["action"]: one["count"] for one in found["reasons"]} == {
        ACTIONS[code]: int((near.action == code).sum()) for code in np.unique(near.action)
    }
    influence = [one["influence"] for one in found["reasons"]]
    assert influence == sorted(influence, reverse=True)
    other = {**prediction, "outputs": {**outputs, "purchase": {"score": 1 - outputs["purchase"]["score"]}}}
    assert not explanation(Past(other, events, 0), scorer, settings=StateSettings())["reproduced"]


def test_leaving_nothing_out_changes_nothing(scorer: Scorer, events: EventBatch) -> None:
    again = without(scorer, events, [np.zeros(0, np.int64)], settings=StateSettings())
    assert again.effects[0].influence < 1e-5
    renamed = replace(events, user=np.full(len(events), b"another", object))
    assert without(scorer, renamed, [], settings=StateSettings()).scores == pytest.approx(again.scores, abs=1e-5)


@pytest.mark.parametrize(
    ("action", "products", "span_ms", "words"),
    [
        ("add_to_cart", ["A1", "A1"], 4 * 60_000, "added A1 to the cart twice in the last 4 minutes"),
        ("view", ["A", "B", "B"], 61_000, "looked at 2 products 3 times in the last 2 minutes"),
        ("search", [None], 0, "searched once just now"),
        ("voice", [None, None], 86_400_000, "spoke twice in the last day"),
        ("review", [None], 3_600_001, "wrote about something once in the last 2 hours"),
    ],
)
def test_deeds_in_words(action: str, products: list[str | None], span_ms: int, words: str) -> None:
    assert phrase(action, products, span_ms) == words


def test_every_action_has_words() -> None:
    assert all(phrase(action, ["A"], 0) for action in ACTIONS)
