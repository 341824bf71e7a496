"""Room for large arrays that a model makes anew for every batch, held from one batch to the next.

An array of a megabyte that is made and freed each time either leaves a hole in the heap, or is mapped and unmapped,
and then the system clears its pages again: a fifth of the time of scoring went there.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Scratch:
    """Float32 arrays on the CPU by what they are for. What was in one is gone when it is asked for again."""

    def __init__(self) -> None:
        self._held: dict[object, Tensor] = {}

    def room(self, use: object, *shape: int) -> Tensor:
        """An array of the shape, with anything in it."""
        size = torch.Size(shape).numel()
        held = self._held.get(use)
        if held is None or held.numel() < size:
            held = self._held[use] = torch.empty(size)
        return held[:size].view(shape)


def room(scratch: Scratch | None, use: object, *shape: int) -> Tensor | None:
    """For `out=` of a function of torch: None, which makes a new array, without scratch or while something learns."""
    return None if scratch is None or torch.is_grad_enabled() else scratch.room(use, *shape)


def space(scratch: Scratch | None, use: object, *shape: int) -> Tensor:
    """An array to fill: room in the scratch, or a new one."""
    held = room(scratch, use, *shape)
    return torch.empty(shape) if held is None else held
