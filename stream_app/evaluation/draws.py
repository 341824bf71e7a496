"""Every metric over many resamples of whole groups (users, dialogs) at once, so that differences can be paired."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Draws = dict[str, Floats]
"""Per metric (r,): first as it is, then of each resample."""

BINS = 15


def resamples(group: NDArray[Any], draws: int, *, seed: int = 0) -> Floats:
    """(draws + 1, n) how often each case counts: first every case once, then groups drawn with replacement."""
    names, place = np.unique(group, return_inverse=True)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    weight: Floats = np.concatenate([np.ones((1, len(names))), drawn])[:, place]
    return weight


def binary_draws(label: NDArray[Any], score: Floats, weight: Floats) -> Draws:
    """Of probabilities (n,) for labels 0/1; decisions at one half."""
    said = score >= 0.5
    p = score.clip(1e-7, 1 - 1e-7)
    hits, told, ones = weight @ (said & (label == 1)), weight @ said, weight @ (label == 1)
    return {
        "accuracy": mean(said == label, weight),
        "precision": hits / told.clip(1),
        "recall": hits / ones.clip(1),
        "f1": 2 * hits / (told + ones).clip(1),
        "auc": auc_draws(label == 1, score, weight),
        "log_loss": mean(-np.where(label == 1, np.log(p), np.log(1 - p)), weight),
        "ece": ece_draws(label, score, weight),
    }


def choice_draws(label: NDArray[np.int64], scores: Floats, weight: Floats) -> Draws:
    """Of probabilities (n, k) for labels 0..k-1; F1 and AUC are means over the classes that occur."""
    chosen, sure = scores.argmax(1), scores.max(1)
    classes = np.unique(label)
    f1 = [
        2 * (weight @ ((label == k) & (chosen == k))) / (weight @ (label == k) + weight @ (chosen == k)).clip(1)
        for k in classes
    ]
    return {
        "accuracy": mean(label == chosen, weight),
        "f1_macro": np.mean(f1, 0),
        "auc_macro": np.mean([auc_draws(label == k, scores[:, k], weight) for k in classes], 0),
        "log_loss": mean(-np.log(scores[np.arange(len(label)), label].clip(1e-9)), weight),
        "ece": ece_draws(label == chosen, sure, weight),
    }


def mean(value: NDArray[Any], weight: Floats) -> Floats:
    """(r,) weighted means."""
    result: Floats = weight @ value / weight.sum(1)
    return result


def auc_draws(label: NDArray[np.bool_], score: Floats, weight: Floats) -> Floats:
    """(r,) chance that a one is scored above a zero; ties count half. NaN where only one kind occurs."""
    order = np.argsort(score, kind="stable")
    score, label, weight = score[order], label[order], weight[:, order]
    zeros = np.concatenate([np.zeros((len(weight), 1)), np.cumsum(weight * ~label, 1)], 1)  # (r, n + 1)
    below, upto = np.searchsorted(score, score[label]), np.searchsorted(score, score[label], side="right")
    ones = weight[:, label]
    with np.errstate(invalid="ignore"):
        result: Floats = (ones * (zeros[:, below] + zeros[:, upto])).sum(1) / (2 * ones.sum(1) * zeros[:, -1])
    return result


def ece_draws(label: NDArray[Any], score: Floats, weight: Floats) -> Floats:
    """(r,) expected calibration error over bins of equal width."""
    place = np.minimum((score * BINS).astype(int), BINS - 1)
    gap = np.zeros((len(score), BINS))
    gap[np.arange(len(score)), place] = label - score
    result: Floats = np.abs(weight @ gap).sum(1) / weight.sum(1)
    return result


def together(parts: Sequence[Draws]) -> Draws:
    """The mean over seeds, resample by resample."""
    return {name: np.mean([part[name] for part in parts], 0) for name in parts[0]}


def interval(draws: Floats) -> tuple[float, float]:
    """95 % of the resamples."""
    low, high = np.nanpercentile(draws[1:], [2.5, 97.5])
    return float(low), float(high)
