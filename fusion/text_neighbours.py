"""What is said of the known texts that are most like one (k nearest neighbours, Cover and Hart 1967): it remembers
texts that come again, nearly the same, where other models only know what many texts share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SIZES = (1, 5, 20, 60)
SHARPNESS = 20
"""A neighbour whose cosine is less by one part in this weighs less by the factor e."""
_AT_ONCE = 512


class Neighbours:
    """Votes among texts as vectors (n, d), dense or sparse."""

    def __init__(self, seed: int = 0) -> None:
        """Nothing is left to chance here; other models take a seed."""

    def fit(self, x: Any, targets: NDArray[np.int64]) -> Neighbours:
        """Remember texts and their targets 0 or 1 (n, k)."""
        self.known = _unit(x)
        self.said = torch.from_numpy(2 * targets - 1).float()
        return self

    def decision_function(self, x: Any) -> NDArray[np.float32]:
        """(n, sizes · k) votes from -1 to 1, of the nearest, of the nearest five and so on; nearer ones weigh more."""
        asked = _unit(x)
        parts = [self._votes(asked[at : at + _AT_ONCE]) for at in range(0, asked.shape[0], _AT_ONCE)]
        votes: NDArray[np.float32] = torch.cat(parts).numpy()
        return votes

    def _votes(self, asked: Any) -> Tensor:
        from sklearn.utils.extmath import safe_sparse_dot

        cosines = torch.from_numpy(safe_sparse_dot(asked, self.known.T, dense_output=True))  # (b, known)
        near, who = cosines.topk(min(SIZES[-1], cosines.shape[1]), 1)  # (b, 60)
        weight = (SHARPNESS * (near - near[:, :1])).exp()[..., None]
        votes = (weight * self.said[who]).cumsum(1) / weight.cumsum(1)  # (b, 60, k)
        return votes[:, [min(size, votes.shape[1]) - 1 for size in SIZES]].flatten(1)


def _unit(x: Any) -> Any:
    """Rows (n, d) of length 1, dense or sparse; those of zeros stay."""
    from sklearn.preprocessing import normalize

    return normalize(x)
