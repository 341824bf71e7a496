"""The user does not come back within the horizon that the model was trained with."""

from __future__ import annotations

from torch import Tensor

from fusion.heads.binary import Binary, known_loss
from fusion.heads.protocol import Labels


class Churn(Binary):
    """The user does not come back within the horizon that the model was trained with."""

    def loss(self, raw: Tensor, labels: Labels) -> Tensor:
        """Cross-entropy where it is known what happened."""
        return known_loss(raw, labels.churn)
