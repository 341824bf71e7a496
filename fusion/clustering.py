"""Kinds of users: k-means over user vectors, with ids in a fixed order and labels that say what stands out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LABELS = {
    "impression": "window shoppers",
    "view": "careful viewers",
    "click": "clickers",
    "add_to_cart": "cart fillers",
    "remove_from_cart": "hesitant",
    "wishlist": "wish listers",
    "purchase": "buyers",
    "search": "searchers",
    "review": "reviewers",
    "voice": "talkers",
    "events": "regulars",
    "price": "high spenders",
    "speed": "rapid clickers",
}
"""What users are called in whom a trait stands out; a trait is an action's share of the events, or one of these:
`events` (log count), `price` (mean log price), `speed` (minus mean log gap)."""


def k_means(points: Tensor, count: int, *, seed: int, steps: int = 50) -> Tensor:
    """Centres (count, d) of points (n, d): k-means++ then Lloyd; the same seed gives the same centres."""
    generator = torch.Generator().manual_seed(seed)
    centres = points[torch.randint(len(points), (1,), generator=generator)]
    while len(centres) < count:
        near = torch.cdist(points, centres).amin(1).square()
        chosen = torch.multinomial(near + 1e-12, 1, generator=generator)
        centres = torch.cat([centres, points[chosen]])
    for _ in range(steps):
        nearest = torch.cdist(points, centres).argmin(1)
        size = torch.bincount(nearest, minlength=count)
        total = torch.zeros_like(centres).index_add_(0, nearest, points)
        centres = torch.where(size[:, None] > 0, total / size.clamp(min=1)[:, None], centres)
    return centres


def in_order(centres: Tensor, points: Tensor) -> Tensor:
    """The centres, largest cluster first, so that equal data give equal ids."""
    size = torch.bincount(torch.cdist(points, centres).argmin(1), minlength=len(centres))
    return centres[size.argsort(descending=True, stable=True)]


def matched(before: NDArray[np.int64], now: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Which of `count` new clusters takes each id, so that most users keep theirs: (count,).

    `before` and `now` (n,) are the same users' ids; ids without a counterpart go to the clusters left over (Kuhn 1955).
    """
    from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

    kept = before < count
    shared = np.bincount(before[kept] * count + now[kept], minlength=count * count).reshape(count, count)
    _, chosen = linear_sum_assignment(-shared)
    return np.asarray(chosen, np.int64)


def names(traits: NDArray[np.float64], cluster: NDArray[np.int64], columns: Sequence[str], count: int) -> list[str]:
    """One distinct label per cluster from users' traits (n, columns): what stands out most, then what else does."""
    spread = traits.std(0) + 1e-9
    outstanding = np.stack(
        [
            (traits[cluster == k].mean(0) - traits.mean(0)) / spread if (cluster == k).any() else 0 * spread
            for k in range(count)
        ]
    )
    labels: list[str] = []
    for row in outstanding:
        order = np.argsort(-row)
        words = [LABELS[columns[i]] for i in order if columns[i] in LABELS]
        label = next((word for word in words[:1] if row[order[0]] > 0.25), "average shoppers")
        second = (f"{label}, {word}" for word in words if word != label)
        labels.append(label if label not in labels else next(name for name in second if name not in labels))
    return labels
