"""Which products lie in a user's direction: the item index's answer mixed with the model's own."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from encoders.behavior import item_rows
from fusion.recommender import ItemIndex
from fusion.session_kernels import rerank

Keys = NDArray[np.uint64]
Rows = NDArray[np.int64]
Floats = NDArray[np.float32]

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
        self._known, self._forgotten = 0, 0
        self._vectors = np.zeros((index.settings.max_items, items.embedding_dim), np.float32)

    def __call__(
        self, direction: Tensor, recent: Keys, k: int, *, category: Keys | None = None
    ) -> tuple[NDArray[np.object_], Floats]:
        """Product ids (n, k), None for none, and scores (n, k), best first; recent items (n, r), newest last."""
        rows, scores = self.rows(direction, recent, k, category=category)
        found = np.full(rows.shape, None, object)
        known = rows >= 0
        found[known] = self.index.products[rows[known]]
        return found, scores

    def rows(self, direction: Tensor, recent: Keys, k: int, *, category: Keys | None = None) -> tuple[Rows, Floats]:
        """Index rows (n, k), -1 for none, and scores (n, k), best first."""
        candidates, added = self.index.recommend(recent, max(k, CANDIDATES), category=category)
        rows, scores = np.full((len(recent), k), -1, np.int64), np.zeros((len(recent), k), np.float32)
        towards = direction.detach().float().cpu().contiguous().numpy()
        rerank(candidates, added, self.vectors(), towards, COSINE_WEIGHT, rows, scores)
        return rows, scores

    @torch.no_grad()
    def vectors(self) -> Floats:
        """Item vectors of length 1 (items, 64); only new rows are looked up."""
        index = self.index
        if self._forgotten != index.knn.forgotten:
            self._known, self._forgotten = 0, index.knn.forgotten
        if self._known < len(index):
            new = torch.from_numpy(item_rows(index.hashes[self._known :])).to(self.items.weight.device)
            vectors = F.normalize(F.embedding_bag(new, self.items.weight, mode="sum"), dim=-1)
            self._vectors[self._known : len(index)] = vectors.cpu().numpy()
            self._known = len(index)
        return self._vectors
