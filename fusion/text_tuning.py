"""A transformer's upper layers, taught further on labelled texts. They begin as they were pretrained (Howard and Ruder
2018) and read the frozen states of the layer below, which are kept: a pass over the texts is a part of the model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from encoders.device import device_of, quick_precision, seeds_of
from encoders.language.bert import Bert, UpperLayers
from encoders.language.transformer import mean
from fusion.text_convolution import States, answered, shuffled

LAYERS = 3
EPOCHS = 2
BATCH = 32
RATE, OUT_RATE = 2e-4, 1e-3
DECAY = 0.01


@dataclass(frozen=True)
class Read:
    """Texts as the states that a layer of a model gives; layers are counted from 1."""

    states: States
    bert: Bert
    layer: int

    def __getitem__(self, index: NDArray[np.int64]) -> Read:
        """The chosen texts."""
        return replace(self, states=self.states[index])


class Net(nn.Module):
    """States to k logits, by the mean and the peaks of what the upper layers give; on a processor that has them, their
    products are in bfloat16."""

    def __init__(self, read: Read, targets: int) -> None:
        super().__init__()
        self.upper = UpperLayers(read.bert, read.layer, min(LAYERS, read.bert.shape.layers - read.layer))
        self.out = nn.Linear(2 * self.upper.width, targets)

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        """(b, k) logits."""
        kind, on = quick_precision(), hidden.device.type
        with torch.autocast(on, kind, enabled=on == "cpu" and kind is torch.bfloat16):
            states = self.upper(hidden, real)
        peak = states.masked_fill(~real[..., None], float("-inf")).amax(1)
        logits: Tensor = self.out(F.dropout(torch.cat([mean(states, real), peak], 1), 0.2, self.training))
        return logits


class Tuned:
    """Learns from texts that were read up to a layer; the same seed gives the same answers."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.device = device_of()
        self.net: nn.Module = nn.Identity()

    def fit(self, x: Read, targets: NDArray[np.int64]) -> Tuned:
        """Targets 0 or 1 (n, k); AdamW, the rate rises for a tenth of the steps and falls from there."""
        rng = np.random.default_rng(self.seed)
        with torch.random.fork_rng(devices=seeds_of(self.device)):
            torch.manual_seed(self.seed)
            net = Net(x, targets.shape[1]).to(self.device)
            truth = torch.from_numpy(targets).float().to(self.device)
            wide = [each for each in net.upper.parameters() if each.ndim > 1]
            flat = [each for each in net.upper.parameters() if each.ndim == 1]
            groups: list[dict[str, Any]] = [
                {"params": wide, "lr": RATE, "weight_decay": DECAY},
                {"params": flat, "lr": RATE, "weight_decay": 0.0},
                {"params": net.out.parameters(), "lr": OUT_RATE, "weight_decay": DECAY},
            ]
            optimiser = torch.optim.AdamW(groups)
            steps = EPOCHS * -(-len(truth) // BATCH)
            rise = max(1, steps // 10)
            schedule = torch.optim.lr_scheduler.LambdaLR(
                optimiser, lambda step: min((step + 1) / rise, (steps - step) / max(1, steps - rise))
            )
            for _ in range(EPOCHS):
                for chosen in shuffled(x.states.length, rng, BATCH):
                    hidden, _, real = x.states.batch(chosen, self.device)
                    loss = F.binary_cross_entropy_with_logits(net(hidden, real), truth[chosen])
                    loss.backward()  # type: ignore[no-untyped-call]
                    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                    optimiser.step()
                    schedule.step()
                    optimiser.zero_grad()
        self.net = net.eval()
        return self

    def decision_function(self, x: Read) -> NDArray[np.float32]:
        """(n, k) logits of yes."""

        def answer(chosen: NDArray[np.int64]) -> Tensor:
            hidden, _, real = x.states.batch(chosen, self.device)
            logits: Tensor = self.net(hidden, real)
            return logits

        return answered(x.states, BATCH, answer)
