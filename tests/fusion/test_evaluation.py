"""Measures agree with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from fusion.evaluation import auc, binary_report, calibration_error, choice_report


def test_binary_measures_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    score = rng.random(500).round(2)
    label = (rng.random(500) < score).astype(int)
    ours, said = binary_report(label, score), score >= 0.5
    assert ours["auc"] == pytest.approx(metrics.roc_auc_score(label, score))
    assert ours["f1"] == pytest.approx(metrics.f1_score(label, said))
    assert ours["precision"] == pytest.approx(metrics.precision_score(label, said))
    assert ours["recall"] == pytest.approx(metrics.recall_score(label, said))
    assert ours["accuracy"] == pytest.approx(metrics.accuracy_score(label, said))
    assert ours["log_loss"] == pytest.approx(metrics.log_loss(label, score.clip(1e-7, 1 - 1e-7)))


def test_choice_measures_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    scores = rng.dirichlet(np.ones(4), 300)
    label = rng.integers(0, 4, 300)
    ours = choice_report(label, scores)
    assert ours["f1_macro"] == pytest.approx(metrics.f1_score(label, scores.argmax(1), average="macro"))
    assert ours["log_loss"] == pytest.approx(metrics.log_loss(label, scores))


def test_one_kind_alone_has_no_auc() -> None:
    assert np.isnan(auc(np.ones(3), np.arange(3)))


def test_honest_scores_are_calibrated_and_boasting_is_not() -> None:
    rng = np.random.default_rng(2)
    score = rng.random(20_000)
    label = (rng.random(20_000) < score).astype(int)
    assert calibration_error(label, score) < 0.02
    assert calibration_error(label, np.where(score > 0.5, 0.99, 0.01)) > 0.2
