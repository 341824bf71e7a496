"""The products that the user may want next."""

from __future__ import annotations

import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encoders.linear import Linear
from encoders.protocol import VECTOR
from fusion.columnar_json import Fields, Fixed, Items, Node, Number, Value
from fusion.heads.protocol import FUSED, Columns, Fused, Labels, Setup

SAMPLED = 1024
"""Positions of a batch that the loss looks at, and so one more than the negatives of each."""


class Recommendation(msgspec.Struct, frozen=True, gc=False):
    """One product; rank 1 is the best."""

    product_id: str
    score: float
    rank: int


class Recommendations(nn.Module):
    """A direction in the item space; the scorer looks up which products lie there."""

    Output = list[Recommendation]
    temperature: Tensor

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        self.items = [setup.items]  # shared with the behaviour encoder, so not a submodule of its own
        self.out = Linear(FUSED, VECTOR)
        nn.init.zeros_(self.out.bias)
        with torch.no_grad():
            self.out.weight.mul_(0.1)
        self.same = nn.Parameter(torch.ones(()))
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, fused: Fused) -> Tensor:
        """(n, 64) of length 1."""
        return F.normalize(self.out(fused.vector) + self.same * fused.items, dim=-1)

    def loss(self, raw: Tensor, labels: Labels) -> Tensor:
        """Sampled softmax: the next item against the other next items of the batch."""
        known = torch.nonzero(labels.next_item[:, 0]).squeeze(-1)
        known = known[torch.randperm(len(known), device=raw.device)[:SAMPLED]] if self.training else known[:SAMPLED]
        if len(known) < 2:
            return raw.sum() * 0
        target = F.normalize(F.embedding_bag(labels.next_item[known], self.items[0].weight, mode="sum"), dim=-1)
        logits = raw[known] @ target.T * 16  # (m, m)
        code = labels.next_item[known, 0] * (1 << 20) + labels.next_item[known, 1]
        same = (code[:, None] == code) & ~torch.eye(len(code), dtype=torch.bool, device=raw.device)
        return F.cross_entropy(logits.masked_fill(same, -1e4), torch.arange(len(code), device=raw.device))

    def columns(self, raw: Tensor) -> dict[str, Tensor]:
        """`direction` (n, 64); the scorer replaces it by `product_id` and `score` (n, k)."""
        return {"direction": raw}

    def render(self, columns: Columns) -> Node:
        """Ranked products per event; fewer than k where fewer are known."""
        products, scores = columns["product_id"].T, columns["score"].T
        known = (products != np.array(None)).sum(0)  # None is last
        ranked = [
            Fields({"product_id": Value(product.tolist()), "score": Number(score), "rank": Fixed(rank)})
            for rank, (product, score) in enumerate(zip(products, scores, strict=True), 1)
        ]
        return Items(ranked, known)
