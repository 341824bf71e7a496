"""Gradient descent, top to bottom; every stage of the training goes through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from fusion.training.journal import Journal

if TYPE_CHECKING:
    from fusion.training.saved import Saved

Judge = Callable[[], Mapping[str, float]]


@dataclass
class Best:
    """The weights with the least validation loss so far."""

    modules: Sequence[nn.Module]
    loss: float = float("inf")
    age: int = 0
    """Epochs since."""
    states: list[dict[str, Tensor]] = field(default_factory=list)

    def take_note(self, loss: float) -> None:
        """Of an epoch that has ended."""
        self.age += 1
        if loss < self.loss:
            self.loss, self.age = loss, 0
            self.states = [{k: v.clone() for k, v in module.state_dict().items()} for module in self.modules]

    def restore(self) -> None:
        """Back to the best weights."""
        for module, state in zip(self.modules, self.states, strict=True):
            module.load_state_dict(state)


@dataclass
class Stage:
    """One thing to learn: what learns, from which batches, by which loss, judged how."""

    name: str
    epochs: int
    modules: Sequence[nn.Module]
    optimisers: Sequence[Optimizer]
    batches: Callable[[], Sequence[Any]]
    """An epoch's batches, in a new order each time."""
    loss: Callable[[Any], Tensor]
    judge: Judge
    """Figures after an epoch, without gradient; `valid_loss` decides when to stop and which weights are kept."""
    schedules: Sequence[LRScheduler] = ()
    patience: int = 2
    clip: float | None = None
    """Greatest norm of the whole gradient."""

    @property
    def weights(self) -> list[Tensor]:
        """Everything that goes downhill."""
        return [
            weight for optimiser in self.optimisers for group in optimiser.param_groups for weight in group["params"]
        ]


def descend(stage: Stage, *, journal: Journal, saved: Saved) -> None:
    """Learn until the epochs are over or the validation loss rises; then go back to the best weights."""
    best = Best(stage.modules)
    for epoch in saved.epochs(stage, best):
        total = 0.0
        batches = stage.batches()
        for module in stage.modules:
            module.train()
        for batch in journal.steps(stage.name, batches, epoch=epoch, epochs=stage.epochs):
            loss = stage.loss(batch)  # forwards
            for optimiser in stage.optimisers:
                optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # backwards: a gradient for every weight
            if stage.clip is not None:
                nn.utils.clip_grad_norm_(stage.weights, stage.clip)
            for optimiser in stage.optimisers:
                optimiser.step()  # downhill
            for schedule in stage.schedules:
                schedule.step()
            total += loss.item() / len(batches)
        for module in stage.modules:
            module.eval()
        with torch.no_grad():
            figures = stage.judge()
        journal.note(stage.name, epoch, train_loss=total, **figures)
        best.take_note(figures.get("valid_loss", -epoch))  # where nothing is held out the last weights are kept
        saved.keep(stage, epoch, best)
        if best.age >= stage.patience:
            break
    if best.states:
        best.restore()
