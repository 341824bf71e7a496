"""The behaviour encoder learns from dialogs of which only the actions are known, before any word is read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from encoders.behavior import STATE, BehaviorEncoder
from encoders.protocol import VECTOR
from fusion.dialogs import Dialogs

BEHAVIOR = STATE + VECTOR
"""State and read-out."""


@dataclass(frozen=True)
class BehaviorPlan:
    """How long and how fast to learn."""

    epochs: int = 8
    rate: float = 3e-3
    dialogs: int = 128  # per batch
    hide: float = 0.2
    decay: float = 0.05
    seed: int = 0


def learn_behavior(dialogs: Dialogs, *, kinds: int, actions: int, plan: BehaviorPlan) -> BehaviorEncoder:
    """An encoder that knows how dialogs go on: next action and next add-to-cart after every turn."""
    torch.manual_seed(plan.seed)
    rng = np.random.default_rng(plan.seed)
    encoder = BehaviorEncoder(kinds, 2)
    heads = nn.Linear(BEHAVIOR, actions + 1)
    learned = [*encoder.parameters(), *heads.parameters()]
    optimiser = torch.optim.AdamW(learned, lr=plan.rate, weight_decay=plan.decay)
    steps = plan.epochs * -(-len(np.unique(dialogs.dialog)) // plan.dialogs)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, total_steps=steps)
    for _ in range(plan.epochs):
        for rows in dialogs.batches(plan.dialogs, rng):
            vector = encoded(encoder, dialogs, rows, salt=int(rng.integers(1, 2**63)))
            raw = heads(F.dropout(vector, plan.hide))
            loss = dialog_loss(raw, torch.from_numpy(dialogs.next_action[rows]), torch.from_numpy(dialogs.cart[rows]))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(learned, 1.0)
            optimiser.step()
            schedule.step()
    return encoder.requires_grad_(False)


def encoded(encoder: BehaviorEncoder, dialogs: Dialogs, rows: NDArray[np.int64], *, salt: int = 1) -> Tensor:
    """(n, 192) state and read-out after each of these turns of whole dialogs."""
    vector: Tensor = encoder(encoder.prepare(dialogs.acts(rows, salt=salt))).vector[:, :BEHAVIOR]
    return vector


def dialog_loss(raw: Tensor, next_action: Tensor, cart: Tensor) -> Tensor:
    """Of raw (n, actions + 1): cross-entropy of the next action where there is one, and of the cart."""
    known = (next_action >= 0).sum().clamp(min=1)
    action = F.cross_entropy(raw[:, :-1], next_action, ignore_index=-1, reduction="sum") / known
    return action + F.binary_cross_entropy_with_logits(raw[:, -1], cart)
