"""What a session asks for, as a vector among its items: a carried GRU state and an attentive look at the last items.

Items and sessions are normalised, so that popular items win by direction and not by length (NISER, arXiv 1909.04276).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn


@dataclass(frozen=True)
class EncoderSettings:
    """Sizes of a session encoder."""

    size: int = 100
    looks: int = 30  # last items that the read-out attends to
    heads: int = 2
    dropout: float = 0.25
    scale: float = 14.0


class SessionEncoder(nn.Module):
    """Scores every item of a catalogue of so many items (rows 1..items; row 0 is padding and the unknown)."""

    def __init__(self, items: int, settings: EncoderSettings | None = None) -> None:
        super().__init__()
        self.settings = s = settings or EncoderSettings()
        self.items = nn.Embedding(items + 1, s.size)
        nn.init.normal_(self.items.weight, std=s.size**-0.5)
        self.bias = nn.Parameter(torch.zeros(items + 1))
        self.state = nn.GRU(s.size, s.size, batch_first=True)
        self.ask = nn.Linear(2 * s.size, s.size)
        self.key = nn.Linear(s.size, s.size, bias=False)
        self.place = nn.Parameter(torch.zeros(s.heads, s.looks))
        self.again = nn.Linear(2 * s.size, s.size)
        self.again_place = nn.Parameter(torch.zeros(s.looks))
        nn.init.zeros_(self.again.weight)
        nn.init.zeros_(self.again.bias)
        self.tell = nn.Linear(s.size * (2 + s.heads), s.size)
        self.dropout = nn.Dropout(s.dropout)

    def start(self, vectors: NDArray[np.float32]) -> None:
        """Begin with these item vectors (V + 1, d)."""
        with torch.no_grad():
            self.items.weight.copy_(torch.from_numpy(vectors))

    def table(self, rows: Tensor | None = None) -> Tensor:
        """(V + 1, d + 1) unit rows and the item's bias, or those of some rows."""
        vectors = self.items.weight if rows is None else self.items(rows)
        bias = self.bias if rows is None else self.bias[rows]
        return torch.cat([F.normalize(vectors, dim=-1), bias[:, None]], 1)

    def forward(self, session: Tensor, table: Tensor, *, levels: int = 0) -> tuple[Tensor, Tensor]:
        """What is asked after each item of sessions (b, w): (b, w, d + 1), and (b, w, w) what a seen item gains.

        Sessions are rows of the table, 0 in both for padding.

        The logits are asked · table, plus the gain of each look where it is of that item. With `levels`, the state
        is rounded to that many steps of 1 either side of zero after every item.
        """
        own = self.dropout(F.embedding(session, table[:, :-1]) * (session > 0)[..., None])  # (b, w, d)
        state = self.state(own)[0] if not levels else self.rounded(own, levels)
        asking = torch.cat([state, own], -1)
        age = torch.arange(session.shape[1])[:, None] - torch.arange(session.shape[1])  # (w, w) of key seen from query
        near = (age >= 0) & (age < self.settings.looks)
        age = age.clamp(0, self.settings.looks - 1)
        read = self.look_back(own, asking, near & ((session > 0)[:, None, :] | (age == 0)), age)
        asked = self.tell(self.dropout(torch.cat([state, own, read], -1)))
        gain = self.again(asking) @ own.transpose(1, 2) + self.again_place[age]
        gain = gain * (near & (session > 0)[:, None, :])
        return F.pad(F.normalize(asked, dim=-1) * self.settings.scale, (0, 1), value=1.0), gain

    def rounded(self, own: Tensor, levels: int) -> Tensor:
        """(b, w, d) states as a worker carries them: in int8 between events with 127 levels."""
        state = own.new_zeros(len(own), self.settings.size)
        states = []
        for token in own.unbind(1):
            step = self.state(token[:, None], state[None])[1][0]
            state = torch.round(step * levels) / levels
            states.append(state)
        return torch.stack(states, 1)

    def look_back(self, own: Tensor, asking: Tensor, seen: Tensor, age: Tensor) -> Tensor:
        """(b, w, heads · d) means of the last items before and at each position, weighted by what is asked."""
        s = self.settings
        b, w, d = own.shape
        ask = self.ask(asking).view(b, w, s.heads, d // s.heads).transpose(1, 2)
        key = self.key(own).view(b, w, s.heads, d // s.heads).transpose(1, 2)
        score = ask @ key.transpose(-1, -2) + self.place[:, age]  # (b, heads, w, w)
        weight = score.masked_fill(~seen[:, None], float("-inf")).softmax(-1)
        return torch.einsum("bhqk,bkd->bqhd", weight, own).reshape(b, w, s.heads * d)
