"""Events are learned from only through the stream's own steps, and labels say what happened afterwards."""

from __future__ import annotations

import numpy as np

from fusion.material import NEGATIVE, NEUTRAL, POSITIVE, salted
from stream_app.events import ACTIONS
from stream_app.events.hashing import hash64
from stream_app.training.examples import examples_of
from stream_app.training.folds import folds, summary
from stream_app.training.logs import Log, accepted
from stream_app.training.texts import feeling, split, texts_of

START_MS = 1_735_689_600_000
MINUTE_MS, DAY_MS = 60_000, 86_400_000


def click(number: int, at_ms: int, action: str, *, user: str = "ann", product: str | None = None) -> tuple[str, dict]:
    return "clicks", {
        "event_id": f"e{number}",
        "event_time": START_MS + at_ms,
        "user_id": user,
        "action": action,
        "product_id": product or f"p{number}",
    }


def log(*records: tuple[str, dict], end_ms: int = 40 * DAY_MS) -> Log:
    events = accepted(iter(records))
    return Log(events, np.zeros(len(events), np.float32), START_MS + end_ms)


def test_labels_are_what_happened_after_the_event() -> None:
    (example,) = examples_of(
        log(
            click(0, 0, "view"),
            click(1, MINUTE_MS, "add_to_cart"),
            click(2, 2 * MINUTE_MS, "purchase"),
            click(3, 3 * MINUTE_MS, "view"),
            click(4, 2 * DAY_MS, "view"),
            click(5, 30 * DAY_MS, "view"),
        )
    )
    outcomes = example.outcomes
    assert outcomes.purchase.tolist() == [1, 1, 0, 0, 0, 0]
    assert outcomes.churn[:5].tolist() == [0, 0, 0, 0, 1], "back after two days, then away for 28"
    assert np.isnan(outcomes.churn[5]), "the log ends before the horizon"
    day_s = 86_400
    assert outcomes.away_s[4] == 28 * day_s, "back after 28 days"
    assert outcomes.away_s[5] == -10 * day_s, "not back in the ten days that were left"
    assert outcomes.next_action.tolist() == [ACTIONS.index(a) for a in ("add_to_cart", "purchase", "view")] + [-1] * 3
    assert outcomes.next_item.tolist() == [hash64("p1"), hash64("p2"), hash64("p3"), 0, 0, 0]


def test_who_came_back_is_not_told_sooner_than_who_stayed_away() -> None:
    """Else, where a log is short, all that is known of leaving would be that nobody left."""
    (example,) = examples_of(log(click(0, 0, "view"), click(1, DAY_MS, "view"), end_ms=5 * DAY_MS))
    assert np.isnan(example.outcomes.churn).all()
    assert example.outcomes.away_s.tolist() == [86_400, -4 * 86_400], "the intervals that passed are learned from"


def test_users_do_not_mix() -> None:
    (example,) = examples_of(
        log(
            click(0, 0, "view"),
            click(1, 10, "purchase", user="bob"),
            click(2, 20, "view"),
            click(3, 30, "view", user="bob"),
        )
    )
    assert example.outcomes.purchase.sum() == 0
    assert np.bincount(example.features.row).tolist() == [2, 2]
    assert set(example.outcomes.next_item.tolist()) == {0, hash64("p2"), hash64("p3")}


def test_what_the_stream_sets_aside_is_not_learned_from() -> None:
    again = click(0, 0, "view")
    partial = {"event_id": "v", "event_time": START_MS, "user_id": "ann", "transcript": "sho", "is_final": False}
    partial |= {"call_id": "c", "segment_id": "1"}
    whole = log(again, again, ("voice-transcripts", partial), ("clicks", {"broken": True}), click(1, 5, "view"))
    assert len(whole.events) == 2


def test_stars_are_feelings() -> None:
    assert [feeling(stars) for stars in (1, 2, 3, 4, 5)] == [NEGATIVE, NEGATIVE, NEUTRAL, POSITIVE, POSITIVE]


def test_equal_texts_stay_on_one_side() -> None:
    rows = [("Great dress!", POSITIVE, ""), ("ＧＲＥＡＴ dress!", POSITIVE, ""), ("bad", NEGATIVE, "x")]
    texts = texts_of(iter(rows))
    assert texts.text.tolist() == ["Great dress!", "bad"]
    assert sum(len(part) for part in split(texts)) == 2


def test_other_ids_same_shop() -> None:
    (example,) = examples_of(log(click(0, 0, "view", product="p"), click(1, 9, "view", product="p")))
    other = salted(example, 12345)
    assert other.features.item[0] == other.features.item[1] == other.outcomes.next_item[0] != example.features.item[0]
    assert (other.features.category == 0).all(), "absent stays absent"
    assert salted(example, 12345).features.item.tolist() == other.features.item.tolist()


def test_folds_answer_for_other_users_and_later_events() -> None:
    users = [f"user {number}" for number in range(40)]
    whole = log(*(click(n, n * 3_600_000, "view", user=users[n % 40]) for n in range(400)))
    tested = 0
    for learned, valid, test in folds([whole], 3):
        assert learned
        assert valid
        assert test
        past = np.concatenate([e.features.item for e in (*learned, *valid)])
        future = np.concatenate([e.features.item for e in test])
        assert not set(past.tolist()) & set(future.tolist()), "no event, and so no user, on both sides"
        last_ms = max(e.features.event_time_ms.max() for e in (*learned, *valid))
        for example in test:
            told = example.outcomes.purchase == example.outcomes.purchase
            assert (example.features.event_time_ms[told] > last_ms).all(), "only later events are asked about"
            tested += int(told.sum())
    assert tested > 50


def test_what_happens_after_a_cut_is_not_known_before_it() -> None:
    whole = log(click(0, 0, "view"), click(1, DAY_MS, "view"), end_ms=2 * DAY_MS)
    cut_ms = START_MS + DAY_MS // 2
    (example,) = examples_of(whole.take(whole.events.event_time_ms < cut_ms, end_ms=cut_ms))
    assert example.outcomes.away_s.tolist() == [-43_200]


def test_a_summary_has_a_mean_and_its_interval() -> None:
    figures = summary({"n": [10.0, 20.0], "auc": [0.6, 0.7, float("nan")], "base_auc": [0.5, 0.5]})
    assert figures["n"] == 30
    np.testing.assert_allclose(figures["auc"], 0.65)
    np.testing.assert_allclose(figures["auc_within"], 12.706 * 0.05, rtol=1e-3)
    assert "base_auc_within" not in figures
