"""A yes-or-no answer from a plain table: a few small dense nets that learn alike from other starts, averaged.

Deep ensembles (Lakshminarayanan et al. 2017): with few positives, one net's errors are mostly its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn


@dataclass(frozen=True)
class DensePlan:
    """How long and how fast to learn. The decay is strong: it keeps the probabilities honest."""

    members: int = 5
    steps: int = 220
    batch: int = 256
    rate: float = 2e-3
    decay: float = 1.0
    width: int = 64
    hide_columns: float = 0.2
    hide: float = 0.4
    seed: int = 0


class DenseEnsemble:
    """Standardised columns through `members` nets."""

    def __init__(self, plan: DensePlan | None = None) -> None:
        self.plan = plan or DensePlan()
        self.mean, self.scale = torch.zeros(0), torch.ones(0)
        self.nets: list[nn.Sequential] = []

    def fit(self, table: NDArray[np.float32], label: NDArray[np.float32]) -> DenseEnsemble:
        """Learn from (n, k) and 0/1 (n,)."""
        raw = torch.from_numpy(table)
        self.mean, self.scale = raw.mean(0), raw.std(0).clamp(min=1e-6)
        known, wanted = self.standard(table), torch.from_numpy(label)
        self.nets = [self.learned(known, wanted, seed=1000 * self.plan.seed + k) for k in range(self.plan.members)]
        return self

    def score(self, table: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n,) probabilities."""
        with torch.no_grad():
            known = self.standard(table)
            each = torch.stack([torch.sigmoid(net(known).squeeze(-1)) for net in self.nets])
        score: NDArray[np.float64] = each.mean(0).double().numpy()
        return score

    def standard(self, table: NDArray[np.float32]) -> Tensor:
        """Mean 0, deviation 1, nothing beyond four."""
        return ((torch.from_numpy(table) - self.mean) / self.scale).clamp(-4, 4)

    def learned(self, known: Tensor, wanted: Tensor, *, seed: int) -> nn.Sequential:
        """One member."""
        torch.manual_seed(seed)
        plan = self.plan
        net = dense(known.shape[1], plan)
        last = cast(nn.Linear, net[-1])
        nn.init.constant_(last.bias, float(torch.logit(wanted.mean(), eps=1e-4)))
        optimiser = torch.optim.AdamW(net.parameters(), plan.rate, weight_decay=plan.decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, total_steps=plan.steps)
        for _ in range(plan.steps):
            rows = torch.randint(len(known), (plan.batch,))
            loss = F.binary_cross_entropy_with_logits(net(known[rows]).squeeze(-1), wanted[rows])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        return net.eval()


def dense(columns: int, plan: DensePlan) -> nn.Sequential:
    """Two hidden layers."""
    return nn.Sequential(
        nn.Dropout(plan.hide_columns),
        nn.Linear(columns, plan.width),
        nn.GELU(),
        nn.Dropout(plan.hide),
        nn.Linear(plan.width, plan.width),
        nn.GELU(),
        nn.Dropout(plan.hide),
        nn.Linear(plan.width, 1),
    )
