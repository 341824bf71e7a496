"""What every stage of a training works with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from fusion.model import FusedModel
from fusion.training.descent import Stage, descend
from fusion.training.journal import Journal
from fusion.training.plan import Plan
from fusion.training.saved import Saved

FEWEST_STEPS = 10
"""With five a fifth would end where it begins, and the schedule divide by zero."""


@dataclass(frozen=True)
class Bench:
    """The model on its way, the plan, and what keeps the record."""

    model: FusedModel
    plan: Plan
    rng: np.random.Generator
    journal: Journal
    saved: Saved

    def descend(self, stage: Stage) -> None:
        """Go through one stage."""
        descend(stage, journal=self.journal, saved=self.saved)


def one_cycle(optimiser: Optimizer, peak: float, steps: int) -> LRScheduler:
    """Up to the peak rate for a fifth of the steps, then down (Smith and Topin 2017, arXiv 1708.07120)."""
    return OneCycleLR(optimiser, peak, total_steps=max(steps, FEWEST_STEPS), pct_start=0.2)


def shuffled(count: int, size: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Every number below `count` once, in batches."""
    order = rng.permutation(count)
    return [order[i : i + size] for i in range(0, count, size)]
