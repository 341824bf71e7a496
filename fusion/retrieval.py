"""Which products lie in a user's direction: the item index's answer mixed with the model's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from encoders.behavior import item_rows
from fusion.recommender import ItemIndex

CANDIDATES = 20
COSINE_WEIGHT = 0.1
DENSE_LIMIT = 16_384
_GROUP = 32


class Retrieval:
    """Exact top k over all indexed items of index score + weight * cosine; one thread.

    Beyond DENSE_LIMIT items only the index's candidates are weighed.
    """

    def __init__(self, items: nn.Embedding, index: ItemIndex) -> None:
        self.items, self.index = items, index
        self._hashes = np.zeros(0, np.uint64)
        self._table = torch.zeros(0, items.embedding_dim, device=items.weight.device)

    def __call__(
        self, direction: Tensor, recent: NDArray[np.uint64], k: int
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Products (n, k) object, None for none, and scores (n, k), best first."""
        rows, scores = self.index.recommend(recent, max(k, CANDIDATES))
        n, known = len(direction), len(self.index)
        if known == 0:
            return np.full((n, k), None, object), np.zeros((n, k), np.float32)
        device = direction.device
        at, added = torch.from_numpy(rows).to(device), torch.from_numpy(scores).to(device)
        table = self.table()
        if known <= DENSE_LIMIT:
            total = (direction * COSINE_WEIGHT) @ table.T  # (n, items rounded up)
            total[:, known:] = float("-inf")
            total.scatter_add_(1, at.clamp(min=0), added * (at >= 0))
            best, chosen = grouped_topk(total, min(k, known))
        else:
            total = added + COSINE_WEIGHT * torch.einsum("nd,ncd->nc", direction, table[at.clamp(min=0)])
            best, place = total.masked_fill(at < 0, float("-inf")).topk(min(k, at.shape[1]))
            chosen = at.gather(1, place)
        found = np.full((n, k), None, object)
        score = np.zeros((n, k), np.float32)
        width = chosen.shape[1]
        real = np.isfinite(best.cpu().numpy())
        found[:, :width] = np.where(real, self.index.products[chosen.cpu().numpy().clip(0)], None)
        score[:, :width] = np.where(real, best.cpu().numpy(), 0)
        return found, score

    def table(self) -> Tensor:
        """Item vectors of length 1 (items rounded up to whole groups, 64); only new rows are looked up."""
        hashes = self.index.hashes
        same = len(self._hashes) if np.array_equal(hashes[: len(self._hashes)], self._hashes) else 0
        if same < len(hashes) or same < len(self._hashes):
            new = torch.from_numpy(item_rows(hashes[same:])).to(self._table.device)
            vectors = F.normalize(F.embedding_bag(new, self.items.weight, mode="sum"), dim=-1)
            room = -(-len(hashes) // _GROUP) * _GROUP
            table = torch.zeros(room, vectors.shape[1], device=self._table.device)
            table[:same], table[same : len(hashes)] = self._table[:same], vectors
            self._table, self._hashes = table, hashes.copy()
        return self._table


def grouped_topk(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Exact top k of (n, whole groups): the k best lie in the k groups with the best maxima."""
    n, width = scores.shape
    groups = scores.view(n, width // _GROUP, _GROUP)
    if k >= groups.shape[1]:
        return tuple(scores.topk(k))  # type: ignore[return-value]
    hopeful = groups.amax(-1).topk(k, sorted=False).indices  # (n, k)
    inside = groups.gather(1, hopeful[..., None].expand(n, k, _GROUP)).view(n, k * _GROUP)
    best, place = inside.topk(k)
    return best, hopeful.gather(1, place // _GROUP) * _GROUP + place % _GROUP
