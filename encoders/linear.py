"""nn.Linear with the quicker of torch's two CPU kernels. Weights, gradients and results are nn.Linear's.

oneDNN writes machine code for each size that it meets, in 0.2 ms, and keeps that of the last 1,024: with sizes that
never come again it does so for ever, and what it keeps lies wherever there was room, so that the heap is soon full of
holes. Here sizes come again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encoders.scratch import Scratch, room

Then = Literal["none", "relu", "gelu"]
"""What comes after the product, in the same pass where that can be."""

WORTH = 12_288
"""Numbers to compute from which on oneDNN's kernel pays for its call: 96 rows of 128."""
LEAST_ROWS = 16
"""Rows are filled up to a multiple of this, or of an eighth of the power of two above them."""
MOST_ROWS = 1_024
"""Of one call of GELU: whatever there is to do is done in powers of two up to this, the last of which overlap."""
MOST_FILLED = 1_024
"""Rows from which on filling up, which copies them all, costs more than oneDNN's kernel saves."""
TRIED, TURNS = (512, 128), 15
"""Rows and size of the product on which the kernels are compared, and how often."""


class Linear(nn.Linear):
    """x (n, in) to (n, out)."""

    def forward(self, x: Tensor, then: Then = "none", *, scratch: Scratch | None = None) -> Tensor:
        """oneDNN where nothing is learned, there is enough to do, and it is the quicker one, else the default.

        With `scratch` the answer lies there, if the default made it.
        """
        plain = torch.is_grad_enabled() or x.device.type != "cpu" or not onednn_pays()
        few = len(x) * self.out_features < WORTH and then != "gelu"
        if not (plain or few or filled(len(x)) != len(x) >= MOST_FILLED):
            return onednn(x, self.weight, self.bias, then)
        out = room(scratch, self, len(x), self.out_features)
        if out is None:
            return _after(F.linear(x, self.weight, self.bias), then)
        return _after(torch.addmm(self.bias, x, self.weight.t(), out=out), then)


def onednn(x: Tensor, weight: Tensor, bias: Tensor, then: Then) -> Tensor:
    """The product by oneDNN, with what comes after; rows are filled up."""
    rows = filled(len(x))
    whole = x if rows == len(x) else F.pad(x, (0, 0, 0, rows - len(x)))
    product: Tensor = torch.ops.mkldnn._linear_pointwise(whole, weight, bias, then, [], "none")
    return product[: len(x)]


@cache
def onednn_pays() -> bool:
    """Whether oneDNN is there and quicker than the default on this processor: measured once, in some 5 ms.

    On some it takes half of the default's time, on others twice as much.
    """
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")):  # type: ignore[no-untyped-call]
        return False
    rows, size = TRIED
    x, weight, bias = torch.ones(rows, size), torch.ones(size, size), torch.ones(size)
    with torch.inference_mode():
        theirs = _least_s(lambda: torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "none"))
        return theirs < _least_s(lambda: F.linear(x, weight, bias))


def _least_s(call: Callable[[], Tensor]) -> float:
    """CPU seconds of the quickest of TURNS."""
    took = []
    for _ in range(TURNS):
        began = time.thread_time()
        call()
        took.append(time.thread_time() - began)
    return min(took)


def filled(rows: int) -> int:
    """Rows to compute for so many, at least one."""
    step = max(LEAST_ROWS, (1 << (rows - 1).bit_length()) >> 3)
    return -(-rows // step) * step


def gelu(x: Tensor) -> Tensor:
    """F.gelu of (..., d)."""
    if torch.is_grad_enabled() or x.device.type != "cpu" or not x.numel():
        return F.gelu(x)
    given = x.reshape(-1, x.shape[-1])
    rows, made = min(MOST_ROWS, 1 << (len(given).bit_length() - 1)), torch.empty_like(given)
    for end in (*range(rows, len(given), rows), len(given)):
        torch._C._nn.gelu(given[end - rows : end], out=made[end - rows : end])  # type: ignore[call-arg]
    return made.view(x.shape)


def _after(x: Tensor, then: Then) -> Tensor:
    if then == "none":
        return x
    return F.relu(x) if then == "relu" else gelu(x)
