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

HeadColumns = dict[str, dict[str, Tensor]]
Made = tuple[Answers, HeadColumns]

LEAST, MOST = 16, 65_536
"""Events of the smallest and the largest graph; each holds twice as many as the one before. More run as they are."""


class Accelerator:
    """Inputs on the CPU to outputs on the device. One thread. On a CPU the same, but uncaptured."""

    def __init__(self, model: FusedModel, device: torch.device) -> None:
        self._model, self._device = model, device
        self._staging = Staging(device, beside=True)
        self._graphs: Graphs[int, Made] = Graphs(self._step, self._made, device)
        self._like: Seen | None = None
        self._columns: HeadColumns = {}

    def __call__(
        self, inputs: Inputs, resident: Resident | None = None, drop: Tensor | None = None
    ) -> tuple[Output, HeadColumns]:
        """Outputs, and the columns of every head; they last until the next call.

        `drop` (n, 4), on the CPU: modalities to hide.
        """
        rows = [] if resident is None else [torch.from_numpy(resident.rows)]
        drops = [] if drop is None else [drop]
        parts, rows, drops = sent((inputs.parts(), rows, drops), self._staging)
        there = Inputs(*parts)
        if resident is not None:
            there = resident.lent(there, rows[0])
        made: Output = self._model(there, drop=drops[0] if drops else None, answers=self.answers)
        return made, self._columns

    def answers(self, seen: Seen) -> Answers:
        """What the model's own `answers` gives."""
        n = len(seen.rhythm)
        self._like = seen
        if n > MOST:
            answers, self._columns = self._made_of(seen)
        else:
            size = max(LEAST, 1 << (n - 1).bit_length())
            answers, self._columns = mapped(self._graphs(size, tuple(leaves(seen))), lambda made: made[:n])
        return answers

    def _made_of(self, seen: Seen) -> Made:
        answers = self._model.answers(seen)
        return answers, {name: self._model.head(name).columns(raw) for name, raw in answers.raw.items()}

    def _made(self, size: int) -> Tensors:
        """Zeros of the shapes last seen."""
        return tuple(part.new_zeros(size, *part.shape[1:]) for part in leaves(self._like))

    def _step(self, _: int, given: Tensors) -> Made:
        return self._made_of(refilled(cast(Seen, self._like), iter(given)))
