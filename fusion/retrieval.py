"""Which products lie in a user's direction: the item index's answer mixed with the model's own."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from encoders.behavior import item_rows
from fusion.recommender import ItemIndex

CANDIDATES = 20
COSINE_WEIGHT = 0.1
"""Of the index's best, how many the model puts in order, and what a cosine of 1 is worth in index scores."""


class Retrieval:
    """The index's candidates (also met, repeated and popular items) by index score + weight * cosine; one thread.

    The model knows no product (ids are hashed anew while it learns), so items that the index does not name lie in
    directions that mean nothing: measured, weighing all of them found no more.
    """

    def __init__(self, items: nn.Embedding, index: ItemIndex) -> None:
        self.items, self.index = items, index
        self._hashes = np.zeros(0, np.uint64)
        self._table = torch.zeros(0, items.embedding_dim, device=items.weight.device)

    def __call__(
        self, direction: Tensor, recent: NDArray[np.uint64], k: int
    ) -> tuple[NDArray[np.object_], NDArray[np.float32]]:
        """Product ids (n, k), None for none, and scores (n, k), best first."""
        rows, scores = self.rows(direction, recent, k)
        found = np.full(rows.shape, None, object)
        known = rows >= 0
        found[known] = self.index.products[rows[known]]
        return found, scores

    @torch.no_grad()
    def rows(
        self, direction: Tensor, recent: NDArray[np.uint64], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Index rows (n, k), -1 for none, and scores (n, k), best first."""
        rows, scores = self.index.recommend(recent, max(k, CANDIDATES))
        if not len(self.index) or not len(rows):
            return np.full((len(rows), k), -1), np.zeros((len(rows), k), np.float32)
        at, added = torch.from_numpy(rows).to(direction.device), torch.from_numpy(scores).to(direction.device)
        vectors = self.table()[at.clamp(min=0)]  # (n, c, 64)
        total = added + COSINE_WEIGHT * torch.bmm(vectors, direction[:, :, None]).squeeze(-1)
        best, place = total.masked_fill(at < 0, float("-inf")).topk(k)
        chosen = torch.where(best.isfinite(), at.gather(1, place), -1)
        return chosen.cpu().numpy(), torch.where(chosen >= 0, best, 0).cpu().numpy()

    def table(self) -> Tensor:
        """Item vectors of length 1 (items, 64); only new rows are looked up."""
        hashes = self.index.hashes
        same = len(self._hashes) if np.array_equal(hashes[: len(self._hashes)], self._hashes) else 0
        if same < len(hashes) or same < len(self._hashes):
            new = torch.from_numpy(item_rows(hashes[same:])).to(self._table.device)
            vectors = F.normalize(F.embedding_bag(new, self.items.weight, mode="sum"), dim=-1)
            self._table, self._hashes = torch.cat([self._table[:same], vectors]), hashes.copy()
        return self._table
