"""The card says what the figures say, and names what was learned from."""

from __future__ import annotations

import numpy as np

from fusion.card import model_card
from fusion.material import Texts
from fusion.model import ModelConfig

TEXTS = Texts(np.array(["good", "bad"], object), np.array([2, 0]), np.array([-1, -1]))


def card(*, recorded: bool, **figures: dict[str, float]) -> str:
    named = {name.replace("_", ", "): values for name, values in figures.items()}
    command = "stream-app train --out DIR"
    return model_card(ModelConfig(), named, digest="d" * 64, texts=TEXTS, events=7, command=command, recorded=recorded)


def test_churn_is_told_as_it_was_measured() -> None:
    known = card(recorded=False, churn_cdnow={"n": 9.0, "auc": 0.6789, "base_auc": 0.5}, purchase_cdnow={"n": 9.0})
    assert "the AUC is 0.68 on cdnow (one shop of 1997" in known
    assert "| churn, cdnow | 9 | auc 0.679 (0.500) |" in known
    assert "as nobody was watched" in card(recorded=False)


def test_a_recorded_stream_is_not_called_a_data_set() -> None:
    own, given = card(recorded=True), card(recorded=False)
    assert "2 texts, 7 events. Nothing came from research-only sets." in given
    assert "rees46" in given
    assert "rees46" not in own
    assert "research-only" not in own
    assert "recorded topics" in own
