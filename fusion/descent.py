"""One step of gradient descent, alike wherever several optimisers share a model."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


def descend(loss: Tensor, optimisers: Sequence[Optimizer], schedules: Sequence[LRScheduler]) -> None:
    """Gradients of this loss alone, then every optimiser and its schedule move on."""
    for optimiser in optimisers:
        optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    for optimiser, schedule in zip(optimisers, schedules, strict=True):
        optimiser.step()
        schedule.step()
