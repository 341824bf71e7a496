"""How far inputs and scores have moved from a reference: population stability index per column, by bincount.

PSI = sum over bins of (now - then) * ln(now / then); below 0.1 nothing has changed, above 0.25 it has (Siddiqi, 2006).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion.features import NUMERICS, FeatureBatch, PredictionBatch
from stream_app.events import ACTIONS
from stream_app.models.grades import BINS, EDGES

Counts = NDArray[np.int64]

GAPS_S = (0.0, 1.0, 3.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 86_400.0, 7 * 86_400.0)
PRICES = tuple(np.log1p([1.0, 3.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 1000.0]).tolist())
DWELLS = tuple(np.log1p([1.0, 3.0, 10.0, 30.0, 100.0, 300.0]).tolist())
INPUTS: dict[str, int] = {
    "action": len(ACTIONS),
    "gap": len(GAPS_S) + 1,
    "price": len(PRICES) + 2,
    "dwell": len(DWELLS) + 2,
    "modality": 16,
}
SCORES: dict[str, int] = {"purchase": BINS, "churn": BINS, "anomaly": BINS}
COLUMNS: dict[str, int] = {**INPUTS, **SCORES}
"""Bins of each column that is watched; the last one of a number is for its absence."""
START = dict(zip(COLUMNS, np.cumsum([0, *COLUMNS.values()]).tolist(), strict=False))
TOTAL = sum(COLUMNS.values())
EVERY = 4
"""Batches of which one is looked at."""
REFERENCE = "reference/"
"""Of keys in an artefact's `config.metrics`: `reference/<column>/<bin>` is the bin's share in training."""
_MODALITY = np.array([1, 2, 4, 8])
_OFFSETS = np.array(list(START.values()))[:, None]
_PRICE, _DWELL = NUMERICS.index("log_price"), NUMERICS.index("log_dwell_s")


def counts(features: FeatureBatch, predictions: PredictionBatch) -> Counts:
    """(TOTAL,) events per bin of every column, one after the other."""
    columns = predictions.columns
    codes = np.empty((len(COLUMNS), len(features)), np.int64)
    codes[0] = np.minimum(features.action, len(ACTIONS) - 1)
    codes[1] = np.searchsorted(GAPS_S, features.gap_s, side="right")
    codes[2] = np.searchsorted(PRICES, features.numerics[:, _PRICE], side="right")  # NaN sorts last
    codes[3] = np.searchsorted(DWELLS, features.numerics[:, _DWELL], side="right")
    codes[2] += np.isnan(features.numerics[:, _PRICE])
    codes[3] += np.isnan(features.numerics[:, _DWELL])
    codes[4] = (predictions.modalities > 0) @ _MODALITY
    for at, name in enumerate(SCORES, len(INPUTS)):
        codes[at] = np.searchsorted(EDGES, columns[name]["score"])
    return np.bincount((codes + _OFFSETS).ravel(), minlength=TOTAL)


def psi(now: NDArray[Any], then: NDArray[Any]) -> float:
    """Of two sets of counts; half an event is added to each bin, so that an empty one is not infinitely rare."""
    a, b = now + 0.5, then + 0.5
    a, b = a / a.sum(), b / b.sum()
    return float(((a - b) * np.log(a / b)).sum())


def document(reference: Counts) -> dict[str, float]:
    """Counts as `config.metrics` holds them, for training to store."""
    shares: dict[str, float] = {}
    for name, size in COLUMNS.items():
        part = reference[START[name] : START[name] + size]
        shares |= {f"{REFERENCE}{name}/{at}": round(n / max(part.sum(), 1), 6) for at, n in enumerate(part.tolist())}
    return shares


class Drift:
    """Of one worker and its live model. One thread observes; others may read.

    The reference is the artefact's own where its `config.metrics` holds one, else the first `events` after the start;
    of a model that takes over without one, its scores are learned anew and the inputs are compared as before.
    """

    def __init__(self, metrics: Mapping[str, float], *, events: int, before: Drift | None = None) -> None:
        self._events, self._turn = events, 0
        self._reference = np.zeros(TOTAL)
        self._recent = np.zeros((2, TOTAL), np.int64)  # the window's halves, the newer one first
        self._learned = dict.fromkeys(COLUMNS, 0)  # events in each column's reference
        for name, size in COLUMNS.items():
            part = slice(START[name], START[name] + size)
            shares = [metrics.get(f"{REFERENCE}{name}/{at}") for at in range(size)]
            if None not in shares:
                self._reference[part] = np.array(shares, np.float64) * events
                self._learned[name] = events
            elif before is not None and name in INPUTS:
                self._reference[part] = before._reference[part]
                self._learned[name] = before._learned[name]

    def observe(self, features: FeatureBatch, predictions: PredictionBatch) -> None:
        """Add a batch, if it is the turn of its like: one in EVERY says as much as all."""
        self._turn = (self._turn + 1) % EVERY
        if self._turn:
            return
        found = counts(features, predictions)
        learning = [name for name, n in self._learned.items() if n < self._events]
        for name in learning:
            part = slice(START[name], START[name] + COLUMNS[name])
            self._reference[part] += found[part]
            self._learned[name] += len(features)
        if len(learning) == len(COLUMNS):
            return
        self._recent[0] += found
        if self._recent[0, : COLUMNS["action"]].sum() >= self._events // 2:
            self._recent[1] = self._recent[0]
            self._recent[0] = 0

    def psi(self) -> dict[str, float]:
        """Per column, over the last `events` or at least half of them; columns without enough are left out."""
        recent = self._recent.sum(0)
        if recent[: COLUMNS["action"]].sum() < self._events // 2:
            return {}
        parts = {name: slice(START[name], START[name] + size) for name, size in COLUMNS.items()}
        return {
            name: psi(recent[part], self._reference[part])
            for name, part in parts.items()
            if self._learned[name] >= self._events
        }
