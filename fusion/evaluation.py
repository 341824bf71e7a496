"""Measures: plain functions of labels and scores, each beside what a model that knows nothing would get."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[Any]
Scores = NDArray[Any]


def binary_report(label: Labels, score: Scores) -> dict[str, float]:
    """Of probabilities (n,) for labels 0/1 (n,): how well they rank, decide and mean what they say.

    `base_*` is what always answering the share of ones would get.
    """
    share = float(label.mean())
    said = score >= 0.5
    hits = float((said & (label == 1)).sum())
    precision, recall = hits / max(float(said.sum()), 1), hits / max(float(label.sum()), 1)
    return {
        "n": float(len(label)),
        "share": share,
        "accuracy": float((said == label).mean()),
        "base_accuracy": max(share, 1 - share),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / max(precision + recall, 1e-12),
        "auc": auc(label, score),
        "base_auc": 0.5,
        "log_loss": log_loss(label, score),
        "base_log_loss": log_loss(label, np.full(len(label), share)),
        "ece": calibration_error(label, score),
    }


def choice_report(label: Labels, scores: Scores) -> dict[str, float]:
    """Of probabilities (n, k) for labels 0..k-1 (n,); the baseline always names the commonest."""
    chosen = scores.argmax(1)
    right = chosen == label
    f1 = [f1_of(label == k, chosen == k) for k in np.unique(label)]
    shares = np.bincount(label, minlength=scores.shape[1]) / max(len(label), 1)
    known = shares[shares > 0]
    return {
        "n": float(len(label)),
        "accuracy": float(right.mean()),
        "base_accuracy": float(shares.max()),
        "f1_macro": float(np.mean(f1)),
        "log_loss": float(-np.log(scores[np.arange(len(label)), label].clip(1e-9)).mean()),
        "base_log_loss": float(-(known * np.log(known)).sum()),
        "ece": calibration_error(right.astype(float), scores.max(1)),
    }


def f1_of(truth: NDArray[np.bool_], said: NDArray[np.bool_]) -> float:
    """Harmonic mean of precision and recall."""
    both = float((truth & said).sum())
    return 2 * both / max(float(truth.sum() + said.sum()), 1)


def auc(label: Labels, score: Scores) -> float:
    """Chance that a one is scored above a zero; ties count half. NaN where only one kind occurs."""
    ones = float((label == 1).sum())
    zeros = len(label) - ones
    if not ones or not zeros:
        return float("nan")
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2  # mean rank of each distinct score, from 1
    return float((rank[place][label == 1].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def log_loss(label: Labels, score: Scores) -> float:
    """Mean negative log likelihood."""
    p = np.clip(score.astype(np.float64), 1e-7, 1 - 1e-7)
    return float(-(label * np.log(p) + (1 - label) * np.log(1 - p)).mean())


def calibration_error(label: Labels, score: Scores, bins: int = 15) -> float:
    """Expected calibration error over bins of equal width."""
    place = np.minimum((score * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    gap = np.abs(np.bincount(place, label, bins) - np.bincount(place, score, bins))
    return float(gap[count > 0].sum() / max(len(label), 1))
