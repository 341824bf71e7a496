"""What the yes-or-no heads share: one calibrated probability."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusion.heads.protocol import FUSED, Columns, Fused, Score, Setup, rounded


class Binary(nn.Module):
    """A logit over the fused vector; its subclasses say which label it learns."""

    Output = Score
    temperature: Tensor

    def __init__(self, _: Setup) -> None:
        super().__init__()
        self.out = nn.Linear(FUSED, 1)
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, fused: Fused) -> Tensor:
        """(n,) logits."""
        logit: Tensor = self.out(fused.vector).squeeze(-1)
        return logit

    def columns(self, raw: Tensor) -> dict[str, Tensor]:
        """`score` (n,)."""
        return {"score": torch.sigmoid(raw / self.temperature)}

    def render(self, columns: Columns) -> list[Score]:
        """One probability per event."""
        return [Score(score) for score in rounded(columns["score"])]


def known_loss(raw: Tensor, label: Tensor) -> Tensor:
    """Mean binary cross-entropy where the label is known; 0 where none is."""
    known = ~label.isnan()
    each = F.binary_cross_entropy_with_logits(raw, label.nan_to_num(0.0), reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1)
