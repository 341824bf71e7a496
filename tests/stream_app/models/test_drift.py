"""Drift: nothing where nothing moves, much where something does; the reference of the artefact comes first."""

from __future__ import annotations

import numpy as np
import pytest

from fusion.features import NUMERICS, FeatureBatch, PredictionBatch
from stream_app.models.drift import COLUMNS, EVERY, START, TOTAL, Drift, counts, document, psi
from tests.fusion.shoppers import shoppers

EVENTS = 2_000
PRICE = NUMERICS.index("log_price")


def batch(seed: int, *, price: float = 3.0, buying: float = 0.2) -> tuple[FeatureBatch, PredictionBatch]:
    """Shoppers whose prices and scores lie about there."""
    rng = np.random.default_rng(seed)
    features = shoppers(500, seed=seed, words=0)
    features.numerics[:, PRICE] = np.where(rng.random(500) < 0.1, np.nan, rng.normal(price, 0.7, 500))
    columns = {
        name: {"score": rng.beta(2, 2 / share - 2, 500).astype(np.float32)}
        for name, share in (("purchase", buying), ("churn", 0.4), ("anomaly", 0.1))
    }
    modalities = np.array([1, 0, 0, 0], np.float32).repeat(500).reshape(4, 500).T
    return features, PredictionBatch(columns, modalities, features.carried, np.zeros(500, bool), 0)


def feed(drift: Drift, first: int, **how: float) -> None:
    """Twice its window."""
    for seed in range(first, first + 2 * EVERY * EVENTS // 500):
        drift.observe(*batch(seed, **how))


def test_every_column_counts_every_event_once() -> None:
    found = counts(*batch(0))

    assert len(found) == TOTAL
    for name, size in COLUMNS.items():
        assert found[START[name] : START[name] + size].sum() == 500, name


def test_psi_is_the_formula() -> None:
    now, then = np.array([700, 300]), np.array([500, 500])
    assert psi(now, then) == pytest.approx(0.2 * np.log(0.7 / 0.5) - 0.2 * np.log(0.3 / 0.5), rel=0.01)
    assert psi(now, now) == 0


def test_the_first_events_are_the_reference_where_the_artefact_has_none() -> None:
    drift = Drift({}, events=EVENTS)
    assert drift.psi() == {}, "nothing to compare yet"
    feed(drift, 0)
    feed(drift, 100)
    same = drift.psi()
    assert same.keys() == COLUMNS.keys()
    assert max(same.values()) < 0.1
    feed(drift, 200, price=5.0, buying=0.6)
    moved = drift.psi()

    assert min(moved["price"], moved["purchase"]) > 0.25
    assert max(moved["churn"], moved["gap"], moved["action"]) < 0.1


def test_the_artefacts_reference_comes_first_and_survives_its_document() -> None:
    total = sum((counts(*batch(seed)) for seed in range(8)), np.zeros(TOTAL, np.int64))
    drift = Drift(document(total), events=EVENTS)
    feed(drift, 300, price=5.0)

    assert drift.psi()["price"] > 0.25
    assert drift.psi()["purchase"] < 0.1


def test_a_new_model_keeps_the_reference_of_the_inputs_and_learns_its_own_scores() -> None:
    before = Drift({}, events=EVENTS)
    feed(before, 0)
    after = Drift({}, events=EVENTS, before=before)
    feed(after, 100, price=5.0, buying=0.6)
    feed(after, 200, price=5.0, buying=0.6)

    assert after.psi()["price"] > 0.25
    assert after.psi()["purchase"] < 0.1
