"""Vectors to one or more yes or no: one hidden layer with dropout, where a logistic regression underfits; the mean of
some such nets, which differ in how they begin and by chance (deep ensembles, Lakshminarayanan et al. 2017)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

HIDDEN = 256
NETS = 3
EPOCHS = 8
BATCH = 256
RATE = 2e-3
DECAY = 0.05


class ReadOut:
    """Learns from scaled vectors (n, d); the same seed gives the same answers."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.nets: list[nn.Module] = []

    def fit(self, x: NDArray[np.float32], targets: NDArray[np.int64]) -> ReadOut:
        """Targets 0 or 1 (n, k); AdamW, one cycle of the rate."""
        generator = torch.Generator().manual_seed(self.seed)
        values, truth = torch.from_numpy(x), torch.from_numpy(targets).float()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.nets = [_learned(values, truth, generator) for _ in range(NETS)]
        return self

    def decision_function(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, k) logits of yes."""
        values = torch.from_numpy(x)
        with torch.inference_mode():
            logits: NDArray[np.float32] = torch.stack([net(values) for net in self.nets]).mean(0).numpy()
        return logits


def _learned(values: Tensor, truth: Tensor, generator: torch.Generator) -> nn.Module:
    """One net; `generator` shuffles."""
    net = nn.Sequential(
        nn.Dropout(0.2),
        nn.Linear(values.shape[1], HIDDEN),
        nn.GELU(),
        nn.Dropout(0.4),
        nn.Linear(HIDDEN, truth.shape[1]),
    )
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    steps = EPOCHS * -(-len(values) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    for _ in range(EPOCHS):
        for chosen in torch.split(torch.randperm(len(values), generator=generator), BATCH):
            loss = F.binary_cross_entropy_with_logits(net(values[chosen]), truth[chosen])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return net.eval()
