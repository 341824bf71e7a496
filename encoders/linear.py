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

from encoders import rational

Then = Literal["none", "relu", "gelu"]
"""What comes after the product, in the same pass where that can be."""

WORTH = 12_288
"""Numbers to compute from which on oneDNN's kernel pays for its call: 96 rows of 128."""
LEAST_ROWS = 16
"""Rows are filled up to a multiple of this, or of an eighth of the power of two above them."""
MOST_FILLED = 1_024
"""Rows from which on filling up, which copies them all, costs more than oneDNN's kernel saves."""
PAYS = 0.8
"""Of the default's time: what it has to take at most. Where both are alike the default's product is followed by loops
of our own, and every process should choose the same."""
TRIED, TURNS = (512, 128), 15
"""Rows and size of the product on which the kernels are compared, and how often."""


class Linear(nn.Linear):
    """x (n, in) to (n, out)."""

    def forward(self, x: Tensor, then: Then = "none", *, out: Tensor | None = None) -> Tensor:
        """oneDNN where nothing is learned, there is enough to do, and it is the quicker one, else the default.

        `out` (n, out): where the answer may lie, which is then lost with what comes there next.
        """
        if self._onednn(x, then):
            return onednn(x, self.weight, self.bias, then)
        if then == "gelu" and quick(x):
            made = torch.mm(x, self.weight.t(), out=out)
            rational.gelu_of_sum(made.numpy(), self.bias.detach().numpy())
            return made
        if out is None:
            return _after(F.linear(x, self.weight, self.bias), then)
        return _after(torch.addmm(self.bias, x, self.weight.t(), out=out), then)

    def product(self, x: Tensor, *, out: Tensor | None = None) -> Tensor:
        """(n, out) before the bias: for who adds it in a pass of their own. `out` as for `forward`."""
        if self._onednn(x, "none"):
            return onednn(x, self.weight, None, "none")
        return torch.mm(x, self.weight.t(), out=out)

    def _onednn(self, x: Tensor, then: Then) -> bool:
        if torch.is_grad_enabled() or x.device.type != "cpu" or not onednn_pays():
            return False
        few = len(x) * self.out_features < WORTH and then != "gelu"
        return not few and (filled(len(x)) == len(x) or len(x) < MOST_FILLED)


def onednn(x: Tensor, weight: Tensor, bias: Tensor | None, then: Then) -> Tensor:
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
        return theirs < PAYS * _least_s(lambda: F.linear(x, weight, bias))


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
    if not quick(x):
        return F.gelu(x)
    given, made = x.detach().contiguous(), torch.empty(x.shape)
    rational.gelu(given.view(-1).numpy(), made.view(-1).numpy())
    return made


def quick(x: Tensor) -> bool:
    """Whether loops in machine code stand for functions of torch."""
    return not torch.is_grad_enabled() and x.device.type == "cpu" and x.dtype == torch.float32


def _after(x: Tensor, then: Then) -> Tensor:
    if then == "none":
        return x
    return F.relu(x) if then == "relu" else gelu(x)
