"""Intervals by resampling whole groups of cases: the recordings of one sentence, the answers about one product."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def mean_interval(values: NDArray[Any], group: NDArray[Any], *, times: int = 2000) -> tuple[float, float]:
    """95 % of the mean of values (n,) when their groups (n,) are drawn anew, all values of a group together."""
    _, place = np.unique(group, return_inverse=True)
    total, count = np.bincount(place, values), np.bincount(place).astype(np.float64)
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(total), size=(times, len(total)))
    means = total[drawn].sum(1) / count[drawn].sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
