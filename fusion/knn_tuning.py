"""Fits the session kNN's mixture to cases that it has not learned from: coordinate ascent over its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusion.session_knn import KnnSettings, SessionKnn

Keys = NDArray[np.uint64]

GRID: Mapping[str, tuple[float, ...]] = {
    "session_weight": (0.0, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0),
    "covisit_weight": (0.0, 0.2, 0.35, 0.5, 0.7, 1.0),
    "repeat_weight": (0.1, 0.2, 0.3, 0.4, 0.6),
    "repeat_recency": (0.5, 0.6, 0.7, 0.8, 0.9),
    "repeat_kept": (0.0, 0.15, 0.3, 0.5, 1.0),
    "recency": (0.5, 0.6, 0.7, 0.8, 0.9),
    "distance": (0.3, 0.4, 0.6, 0.7, 0.8, 0.9),
    "session_backward": (0.25, 0.5, 0.75, 1.0),
    "shrinkage": (0.3, 1.0, 2.0, 4.0, 8.0),
    "category_weight": (0.02, 0.1, 0.3),
    "popularity_weight": (1e-3, 1e-2, 1e-1),
}
"""What may change without learning anew, and what is tried."""


class Cases(NamedTuple):
    """What users had looked at, and what came next."""

    knn: SessionKnn
    recent: Keys  # (n, r) newest last, 0 padded
    target: Keys  # (n,)
    category: Keys | None = None  # (n,)


def rank_of(rows: NDArray[np.int64], target: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) place of each target among recommended rows (n, k), from 1; 0 where it is missing."""
    hit = (rows == target[:, None]) & (target >= 0)[:, None]
    ranks: NDArray[np.int64] = np.where(hit.any(1), hit.argmax(1) + 1, 0)
    return ranks


def quality(cases: Cases, settings: KnnSettings, k: int = 20) -> float:
    """Mean of P@k and MRR@k."""
    before, cases.knn.settings = cases.knn.settings, settings
    rows, _ = cases.knn.recommend(cases.recent, k, category=cases.category)
    cases.knn.settings = before
    rank = rank_of(rows, cases.knn.rows(cases.target))
    return float(((rank > 0) + np.divide(1, rank, out=np.zeros(len(rank)), where=rank > 0)).mean() / 2)


def tuned(
    sets: Sequence[Cases],
    settings: KnnSettings,
    *,
    grid: Mapping[str, Sequence[float]] = GRID,
    k: int = 20,
    rounds: int = 3,
) -> KnnSettings:
    """The settings of most quality, averaged over the sets; one weight after another, until none gains."""
    best = np.mean([quality(cases, settings, k) for cases in sets])
    for _ in range(rounds):
        start = best
        for name, values in grid.items():
            for value in values:
                tried = replace(settings, **{name: value})  # type: ignore[arg-type]  # names of GRID are all floats
                gained = np.mean([quality(cases, tried, k) for cases in sets])
                if gained > best:
                    best, settings = gained, tried
        if best == start:
            break
    return settings
