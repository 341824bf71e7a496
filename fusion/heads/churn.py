"""The user does not come back within the horizon that the model was trained with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from encoders.linear import Linear
from fusion.heads.binary import Binary
from fusion.heads.protocol import FUSED, Fused, Labels, Setup
from fusion.rhythm import RHYTHM

INTERVALS = (1 / 14, 2 / 14, 4 / 14, 7 / 14, 1.0)
"""Ends of the intervals as parts of the horizon: days 1, 2, 4, 7 and 14 of a fortnight."""
SURE = 1e-6
NARROW = 8
"""Parts of the fused vector that are read: there are few who left, and all of it would tell them apart by name."""


class Churn(Binary):
    """The chance to come back in each interval, given not before: a discrete-time hazard.

    Cox 1972, "Regression models and life-tables"; as a network: Gensheimer and Narasimhan 2019 (arXiv 1805.00917).
    Users not back when the log ended teach the intervals that they sat out.
    """

    ends_s: Tensor

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.narrow = Linear(FUSED, NARROW)
        self.hidden = Linear(NARROW + RHYTHM, 32)
        self.out = Linear(32, len(INTERVALS))
        self.register_buffer("ends_s", setup.horizon_s * torch.tensor(INTERVALS), persistent=False)

    def forward(self, fused: Fused) -> Tensor:
        """(n, 5) logits of coming back in each interval."""
        person = torch.tanh(self.narrow(fused.vector))  # (n, 8)
        hidden = torch.relu(self.hidden(torch.cat([person, fused.rhythm], -1)))
        return self.calibrated(self.out(hidden), fused.mask)

    def loss(self, raw: Tensor, labels: Labels) -> Tensor:
        """Cross-entropy of every interval that the user began away and whose outcome is known."""
        back, away_s = labels.away_s >= 0, labels.away_s.abs().nan_to_num(-1.0)[:, None]
        begins_s = torch.cat([self.ends_s[:1] * 0, self.ends_s[:-1]])
        within = (away_s > begins_s) & (away_s <= self.ends_s)
        sat_out = away_s > self.ends_s
        known = sat_out | within & back[:, None]
        each = F.binary_cross_entropy_with_logits(raw, within.float(), reduction="none")
        return (each * known).sum() / known.any(-1).sum().clamp(min=1)

    def columns(self, raw: Tensor) -> dict[str, Tensor]:
        """`score` (n,): the product of staying away in every interval."""
        stays = F.logsigmoid(-raw).sum(-1).exp().clamp(SURE, 1 - SURE)
        return {"score": torch.sigmoid(torch.logit(stays) / self.temperature)}
