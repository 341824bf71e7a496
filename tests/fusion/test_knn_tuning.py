"""Tuning finds the rule that the data follow, and leaves the settings of what it tried alone."""

from __future__ import annotations

import numpy as np

from fusion.knn_tuning import Cases, quality, rank_of, tuned
from fusion.session_knn import KnnSettings, SessionKnn

ITEMS = np.random.default_rng(1).integers(1, 2**63, 60).astype(np.uint64)


def shop(*, returns: bool) -> Cases:
    """Sessions a, b, a … or a, b, c …: the last item is the case, of the sessions that were kept back."""
    rng = np.random.default_rng(2)
    first = rng.integers(0, 30, 400)
    third = first if returns else (first + 2) % 60
    visits = np.stack([first, (first + 1) % 60, third], 1)
    knn = SessionKnn(KnnSettings(max_items=100, sessions=512))
    item = ITEMS[visits[:300]].ravel()
    session = np.repeat(np.arange(1, 301, dtype=np.uint64), 3)
    knn.learn(item, session, np.arange(900) * 1000, np.ones(900))
    return Cases(knn, ITEMS[visits[300:, :2]], ITEMS[visits[300:, 2]])


def test_tuning_finds_whether_people_come_back() -> None:
    grid = {"repeat_weight": (0.01, 5.0), "session_weight": (0.2, 1.0)}
    for returns, wrong, right in ((False, 5.0, 0.01), (True, 0.01, 5.0)):
        cases = shop(returns=returns)
        held, before = cases.knn.settings, KnnSettings(repeat_weight=wrong)
        best = tuned([cases], before, grid=grid)
        assert best.repeat_weight == right
        assert quality(cases, best) > quality(cases, before)
        assert cases.knn.settings is held


def test_ranks_count_from_one_and_miss_what_is_unknown() -> None:
    rows = np.array([[4, 7, -1], [4, 7, -1], [4, 7, -1]])
    assert rank_of(rows, np.array([7, 5, -1])).tolist() == [2, 0, 0]
