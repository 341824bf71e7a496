"""What the user does next."""

from __future__ import annotations

import msgspec
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encoders.linear import Linear
from fusion.columnar_json import Fields, Label, Node, Number
from fusion.heads.protocol import FUSED, Columns, Fused, Labels, Setup


class NextActionOutput(msgspec.Struct, frozen=True, gc=False):
    """The likeliest next action and the probability of each."""

    label: str
    scores: dict[str, float]


class NextAction(nn.Module):
    """A softmax over the action vocabulary."""

    Output = NextActionOutput
    temperature: Tensor

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        self.actions = tuple(setup.actions)
        self.out = Linear(FUSED, len(self.actions))
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, fused: Fused) -> Tensor:
        """(n, actions) logits."""
        logits: Tensor = self.out(fused.vector)
        return logits

    def loss(self, raw: Tensor, labels: Labels) -> Tensor:
        """Cross-entropy where there was a next action."""
        known = (labels.next_action >= 0).sum().clamp(min=1)
        return F.cross_entropy(raw, labels.next_action, ignore_index=-1, reduction="sum") / known

    def columns(self, raw: Tensor) -> dict[str, Tensor]:
        """`label` (n,) index of the likeliest, `scores` (n, actions)."""
        return {"label": raw.argmax(-1), "scores": (raw / self.temperature).softmax(-1)}

    def render(self, columns: Columns) -> Node:
        """One label with its scores per event."""
        scores = zip(self.actions, columns["scores"].T, strict=True)
        return Fields(
            {
                "label": Label(columns["label"], self.actions),
                "scores": Fields({action: Number(score) for action, score in scores}),
            }
        )
