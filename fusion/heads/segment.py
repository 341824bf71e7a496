"""Which kind of shopper the user is like: the nearest centre of a clustering of users."""

from __future__ import annotations

import msgspec
import torch
from torch import Tensor, nn

from fusion.columnar_json import Fields, Label, Node, Number, whole
from fusion.heads.protocol import FUSED, Columns, Fused, Labels, Setup


class SegmentOutput(msgspec.Struct, frozen=True, gc=False):
    """A segment and how far the user is from its centre."""

    id: int
    label: str
    distance: float


class Segment(nn.Module):
    """Nearest of the fitted centres; learns nothing by gradient."""

    Output = SegmentOutput
    temperature: Tensor
    centres: Tensor

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        self.labels = tuple(setup.segments)
        self.register_buffer("centres", torch.randn(len(self.labels), FUSED))
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, fused: Fused) -> Tensor:
        """(n, segments) distances, 1 = as far apart as the parts of a vector are large."""
        distance: Tensor = torch.cdist(fused.vector, self.centres) / FUSED**0.5
        return distance

    def loss(self, raw: Tensor, _: Labels) -> Tensor:
        """Nothing to learn here."""
        return raw.sum() * 0

    def columns(self, raw: Tensor) -> dict[str, Tensor]:
        """`id` (n,) and `distance` (n,)."""
        nearest = raw.min(-1)
        return {"id": nearest.indices, "distance": nearest.values}

    def render(self, columns: Columns) -> Node:
        """One segment per event."""
        number = columns["id"]
        return Fields(
            {
                "id": whole(number),
                "label": Label(number, self.labels),
                "distance": Number(columns["distance"]),
            }
        )
