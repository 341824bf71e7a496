"""Unlike human shopping: what simulated bots taught, blended with how far the user is from all users seen."""

from __future__ import annotations

import torch
from torch import Tensor

from encoders.linear import Linear
from fusion.heads.binary import Binary, known_loss
from fusion.heads.protocol import FUSED, Fused, Labels, Setup

STRANGEST = 0.5
"""Score of a user who is no known bot but like nobody in training."""


class Anomaly(Binary):
    """A bot logit, and the distance of the fused vector from the training users in standard deviations."""

    mean: Tensor
    spread: Tensor
    usual: Tensor

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.hidden = Linear(FUSED, 32)
        self.out = Linear(32, 1)
        self.register_buffer("mean", torch.zeros(FUSED))
        self.register_buffer("spread", torch.ones(FUSED))
        self.register_buffer(
            "usual", torch.tensor([1.0, 0.5])
        )  # mean and deviation of the distance of people in training

    def forward(self, fused: Fused) -> Tensor:
        """(n, 2): bot logit, distance in deviations from the usual one."""
        bot = self.calibrated(self.out(torch.relu(self.hidden(fused.vector))), fused.mask)  # (n, 1)
        apart = torch.addcmul(-self.mean / self.spread, fused.vector, 1 / self.spread)
        far = torch.linalg.vector_norm(apart, dim=-1, keepdim=True) / FUSED**0.5
        return torch.cat([bot, (far - self.usual[0]) / self.usual[1]], -1)

    def loss(self, raw: Tensor, labels: Labels) -> Tensor:
        """Cross-entropy of the bot logit where it is known who acted."""
        return known_loss(raw[:, 0], labels.anomaly)

    def moved(self, raw: Tensor, slope: Tensor, shift: Tensor) -> Tensor:
        """Of the bot logit alone."""
        return torch.stack([raw[:, 0] * slope + shift, raw[:, 1]], -1)

    def columns(self, raw: Tensor) -> dict[str, Tensor]:
        """`score` (n,): a bot, or else up to a half for strangeness (half of that at four deviations)."""
        bot, strange = torch.sigmoid(raw[:, 0] / self.temperature), torch.sigmoid(2 * (raw[:, 1] - 4))
        return {"score": bot + (1 - bot) * STRANGEST * strange}
