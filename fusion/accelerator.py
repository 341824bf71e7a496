"""The model on a CUDA device: a batch comes in one pinned copy, fusion and heads run as captured graphs.

The encoders' shapes differ from batch to batch (texts, photos, events of the busiest user), so they run as they are.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from encoders.graphs import Graphs, Staging, Tensors
from encoders.tensors import leaves, mapped, refilled, sent
from fusion.device_state import Resident
from fusion.inputs import Inputs
from fusion.model import Answers, FusedModel, Output, Seen

LEAST, MOST = 16, 16_384
"""Events of the smallest and the largest graph; each holds twice as many as the one before. More run as they are."""


class Accelerator:
    """Inputs on the CPU to outputs on the device. One thread. On a CPU the same, but uncaptured."""

    def __init__(self, model: FusedModel, device: torch.device) -> None:
        self._model, self._device = model, device
        self._staging = Staging(device)
        self._graphs: Graphs[int, Answers] = Graphs(self._step, self._made, device)
        self._like: Seen | None = None

    def __call__(self, inputs: Inputs, resident: Resident | None = None, drop: Tensor | None = None) -> Output:
        """Outputs last until the next call. `drop` (n, 4), on the CPU: modalities to hide."""
        there = Inputs(*sent(inputs.parts(), self._staging))
        there = there if resident is None else resident.lent(there)
        made: Output = self._model(there, drop=None if drop is None else drop.to(self._device), answers=self.answers)
        return made

    def answers(self, seen: Seen) -> Answers:
        """What the model's own `answers` gives."""
        n = len(seen.rhythm)
        if n > MOST:
            return self._model.answers(seen)
        self._like = seen
        size = max(LEAST, 1 << (n - 1).bit_length())
        return mapped(self._graphs(size, tuple(leaves(seen))), lambda made: made[:n])

    def _made(self, size: int) -> Tensors:
        """Zeros of the shapes last seen."""
        return tuple(part.new_zeros(size, *part.shape[1:]) for part in leaves(self._like))

    def _step(self, _: int, given: Tensors) -> Answers:
        return self._model.answers(refilled(cast(Seen, self._like), iter(given)))
