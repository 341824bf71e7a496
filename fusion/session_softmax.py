"""The loss of retrieval over a whole catalogue: three products and one softmax. The scores are in bfloat16 where the
processor multiplies it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from encoders.device import quick_precision


class _Softmax(torch.autograd.Function):
    """Negative log likelihood; its gradients are made while the probabilities are still in the cache."""

    @staticmethod
    def forward(
        ctx: Any, asked: Tensor, table: Tensor, seen: Tensor, gain: Tensor, target: Tensor, weight: Tensor
    ) -> Tensor:
        kind = quick_precision()
        narrow, rows = asked.to(kind), table.to(kind)
        p = (narrow @ rows.T).scatter_add_(1, seen, gain.to(kind)).softmax(-1)  # (n, V)
        each = torch.arange(len(p))
        loss = -(p[each, target].float().clamp(min=1e-9).log() * weight).sum()
        p[each, target] -= 1
        weight = weight[:, None]
        ctx.save_for_backward(
            (p @ rows).float() * weight,
            (p.T @ (narrow * weight.to(kind))).float(),
            p.gather(1, seen).float() * weight,
        )
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, Tensor, None, None]:
        to_asked, to_table, to_gain = ctx.saved_tensors
        return to_asked * grads[0], to_table * grads[0], None, to_gain * grads[0], None, None


def retrieval_loss(asked: Tensor, table: Tensor, seen: Tensor, gain: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted sum of -log softmax(asked (n, d) · table (V, d), plus gain (n, k) at columns seen (n, k)) at targets."""
    loss: Tensor = _Softmax.apply(asked, table, seen, gain, target, weight)
    return loss
