"""The user buys in the rest of the session."""

from __future__ import annotations

from torch import Tensor

from fusion.heads.binary import Binary, known_loss
from fusion.heads.protocol import Labels


class Purchase(Binary):
    """The user buys in the rest of the session."""

    def loss(self, raw: Tensor, labels: Labels) -> Tensor:
        """Cross-entropy where it is known what happened."""
        return known_loss(raw, labels.purchase)
