"""Vectors to one or more yes or no: one hidden layer with dropout, where a logistic regression underfits."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

HIDDEN = 256
EPOCHS = 8
BATCH = 256
RATE = 2e-3
DECAY = 0.05


class ReadOut:
    """Learns from scaled vectors (n, d); the same seed gives the same answers."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.net = nn.Sequential()

    def fit(self, x: NDArray[np.float32], targets: NDArray[np.int64]) -> ReadOut:
        """Targets 0 or 1 (n, k); AdamW, one cycle of the rate."""
        generator = torch.Generator().manual_seed(self.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.net = nn.Sequential(
                nn.Dropout(0.2),
                nn.Linear(x.shape[1], HIDDEN),
                nn.GELU(),
                nn.Dropout(0.4),
                nn.Linear(HIDDEN, targets.shape[1]),
            )
            values, truth = torch.from_numpy(x), torch.from_numpy(targets).float()
            optimiser = torch.optim.AdamW(self.net.parameters(), lr=RATE, weight_decay=DECAY)
            steps = EPOCHS * -(-len(x) // BATCH)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
            for _ in range(EPOCHS):
                for chosen in torch.split(torch.randperm(len(x), generator=generator), BATCH):
                    loss = F.binary_cross_entropy_with_logits(self.net(values[chosen]), truth[chosen])
                    optimiser.zero_grad()
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimiser.step()
                    schedule.step()
        self.net.eval()
        return self

    def decision_function(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, k) logits of yes."""
        with torch.inference_mode():
            logits: NDArray[np.float32] = self.net(torch.from_numpy(x)).numpy()
        return logits
