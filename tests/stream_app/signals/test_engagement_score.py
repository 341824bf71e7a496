"""The engagement score: 0 to 100, grows with every deed, saturates."""

from __future__ import annotations

import numpy as np
import pytest

from stream_app.events import ACTIONS
from stream_app.signals import engagement_score
from stream_app.state.windows import WINDOW, WindowBatch, blank_window


def scored(**figures: int) -> float:
    rows = np.array([blank_window()], WINDOW)
    for name, value in figures.items():
        if name in ACTIONS:
            rows["counts"][0, ACTIONS.index(name)] = value
        else:
            rows[name] = value
    return float(engagement_score(WindowBatch(rows, [b"u"], False, np.zeros(1, np.int64)))[0])


def test_the_example_of_the_docstring_holds() -> None:
    assert scored(view=5, product_count=3, add_to_cart=1) == 27.5


def test_nothing_scores_nothing_and_impressions_are_not_engagement() -> None:
    assert scored() == 0
    assert scored(impression=50) == 0


@pytest.mark.parametrize("deed", ["view", "click", "add_to_cart", "wishlist", "purchase", "search", "review", "voice"])
def test_every_deed_raises_it(deed: str) -> None:
    assert 0 < scored(**{deed: 1}) < scored(**{deed: 2})


def test_one_kind_of_deed_alone_never_passes_its_weight() -> None:
    assert scored(view=10**6) == 20
    assert scored(dwell_ms=10**12) == 10


def test_all_of_it_reaches_100() -> None:
    everything = dict.fromkeys(("view", "add_to_cart", "purchase", "search", "product_count"), 60)
    assert scored(**everything, dwell_ms=10**9) == 100
