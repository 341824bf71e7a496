"""What the yes-or-no heads share: one probability, calibrated apart for each set of present modalities."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusion.columnar_json import Fields, Node, Number
from fusion.heads.protocol import FUSED, MASKS, Columns, Fused, Score, Setup


class Binary(nn.Module):
    """A logit over the fused vector; its subclasses say which label it learns.

    After training `slope` and `shift` (16,) are fitted per mask: a logit x of mask m becomes slope[m] x + shift[m].
    """

    Output = Score
    temperature: Tensor
    slope: Tensor
    shift: Tensor

    def __init__(self, _: Setup) -> None:
        super().__init__()
        self.out = nn.Linear(FUSED, 1)
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("slope", torch.ones(MASKS))
        self.register_buffer("shift", torch.zeros(MASKS))

    def forward(self, fused: Fused) -> Tensor:
        """(n,) logits."""
        return self.calibrated(self.out(fused.vector), fused.mask).squeeze(-1)

    def calibrated(self, logit: Tensor, mask: Tensor) -> Tensor:
        """Logits (n, k) of masks (n,) as they are after calibration."""
        return torch.addcmul(self.shift[mask, None], logit, self.slope[mask, None])

    def moved(self, raw: Tensor, slope: Tensor, shift: Tensor) -> Tensor:
        """Raw answers as they would be with another slope and shift, both scalars."""
        return raw * slope + shift

    def columns(self, raw: Tensor) -> dict[str, Tensor]:
        """`score` (n,)."""
        return {"score": torch.sigmoid(raw / self.temperature)}

    def render(self, columns: Columns) -> Node:
        """One probability per event."""
        return Fields({"score": Number(columns["score"])})


def known_loss(raw: Tensor, label: Tensor) -> Tensor:
    """Mean binary cross-entropy where the label is known; 0 where none is."""
    known = ~label.isnan()
    each = F.binary_cross_entropy_with_logits(raw, label.nan_to_num(0.0), reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1)
