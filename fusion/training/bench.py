"""What every stage of a training works with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusion.model import FusedModel
from fusion.training.descent import Stage, descend
from fusion.training.journal import Journal
from fusion.training.plan import Plan
from fusion.training.saved import Saved


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


def shuffled(count: int, size: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Every number below `count` once, in batches."""
    order = rng.permutation(count)
    return [order[i : i + size] for i in range(0, count, size)]
