"""How the user feels about what they last reviewed or said."""

from __future__ import annotations

import msgspec
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encoders.linear import Linear
from encoders.protocol import VECTOR
from fusion.columnar_json import Fields, Label, Node, Number, Where
from fusion.heads.protocol import Columns, Fused, Labels, Setup

LABELS = ("negative", "neutral", "positive")


class SentimentOutput(msgspec.Struct, frozen=True, gc=False):
    """The likeliest feeling; score runs from -1 (surely negative) to 1 (surely positive)."""

    label: str
    score: float


class Sentiment(nn.Module):
    """A softmax over three feelings; reads only what was said, so reviews and voice share it."""

    Output = SentimentOutput
    temperature: Tensor

    def __init__(self, _: Setup) -> None:
        super().__init__()
        self.out = Linear(VECTOR, len(LABELS))
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, fused: Fused) -> Tensor:
        """(n, 4): three logits, and 1 where something was said."""
        return torch.cat([self.out(fused.opinion), fused.has_opinion[:, None].float()], -1)

    def loss(self, raw: Tensor, labels: Labels) -> Tensor:
        """Cross-entropy where somebody said something and how they felt is known."""
        label = torch.where(raw[:, 3] > 0, labels.sentiment, -1)
        known = (label >= 0).sum().clamp(min=1)
        return F.cross_entropy(raw[:, :3], label, ignore_index=-1, reduction="sum") / known

    def columns(self, raw: Tensor) -> dict[str, Tensor]:
        """`present` (n,) bool, `label` (n,) index into LABELS, `score` (n,), `scores` (n, 3)."""
        scores = (raw[:, :3] / self.temperature).softmax(-1)
        return {
            "present": raw[:, 3] > 0,
            "label": scores.argmax(-1),
            "score": scores[:, 2] - scores[:, 0],
            "scores": scores,
        }

    def render(self, columns: Columns) -> Node:
        """A feeling per event, none where the user has said nothing so far."""
        said = Fields({"label": Label(columns["label"], LABELS), "score": Number(columns["score"])})
        return Where(said, columns["present"])
