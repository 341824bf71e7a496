"""Training sees events only through the stream's own steps, and its labels say what happened afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fusion.checkpoint import load_checkpoint
from fusion.material import NEGATIVE, NEUTRAL, POSITIVE, salted
from fusion.training import Plan
from stream_app import training
from stream_app.errors import DependencyError
from stream_app.events import ACTIONS
from stream_app.events.hashing import hash64

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


def log(*records: tuple[str, dict], end_ms: int = 40 * DAY_MS) -> training.Log:
    events = training.accepted(iter(records))
    return training.Log(events, np.zeros(len(events), np.float32), START_MS + end_ms)


def test_labels_are_what_happened_after_the_event() -> None:
    (example,) = training.examples_of(
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
    assert outcomes.next_action.tolist() == [ACTIONS.index(a) for a in ("add_to_cart", "purchase", "view")] + [-1] * 3
    assert outcomes.next_item.tolist() == [hash64("p1"), hash64("p2"), hash64("p3"), 0, 0, 0]


def test_users_do_not_mix() -> None:
    (example,) = training.examples_of(
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
    assert [training.feeling(stars) for stars in (1, 2, 3, 4, 5)] == [NEGATIVE, NEGATIVE, NEUTRAL, POSITIVE, POSITIVE]


def test_equal_texts_stay_on_one_side() -> None:
    rows = [("Great dress!", POSITIVE, ""), ("ＧＲＥＡＴ dress!", POSITIVE, ""), ("bad", NEGATIVE, "x")]
    texts = training.texts_of(iter(rows))
    assert texts.text.tolist() == ["Great dress!", "bad"]
    assert sum(len(part) for part in training.split(texts)) == 2


def test_other_ids_same_shop() -> None:
    (example,) = training.examples_of(log(click(0, 0, "view", product="p"), click(1, 9, "view", product="p")))
    other = salted(example, 12345)
    assert other.features.item[0] == other.features.item[1] == other.outcomes.next_item[0] != example.features.item[0]
    assert (other.features.category == 0).all(), "absent stays absent"
    assert salted(example, 12345).features.item.tolist() == other.features.item.tolist()


def test_without_data_there_is_no_training(tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match="data folder"):
        training.train(tmp_path, data_dir=None)


@pytest.mark.timeout(600)
def test_a_small_training_makes_a_model_its_card_and_its_curves(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "SHOPS", ((24, 3.0, 1.0), (12, 30.0, 0.3)))
    whole = training.texts_of
    few = np.arange(200)
    monkeypatch.setattr(training, "texts_of", lambda rows: (t := whole(rows)).take(few[few < len(t)]))
    plan = Plan(text_epochs=1, voice_epochs=1, image_epochs=1, epochs=1)
    figures = training.train(tmp_path, data_dir=data_dir, plan=replace(plan, segments=3))
    assert "purchase, simulated" in figures
    checkpoint = load_checkpoint(tmp_path / "fused.safetensors")
    assert len(checkpoint.model.config.segments) == 3
    assert checkpoint.digest in (tmp_path / "MODEL_CARD.md").read_text("utf-8")
    assert (tmp_path / "curves.csv").read_text().startswith("stage,epoch,figure,value,elapsed_s")
