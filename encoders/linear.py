"""nn.Linear with the quicker of torch's two CPU kernels. Weights, gradients and results are nn.Linear's."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Then = Literal["none", "relu", "gelu"]
"""What comes after the product, in the same pass where that can be."""

WORTH = 12_288
"""Numbers to compute from which on oneDNN's kernel pays for its call: 96 rows of 128."""
LEAST_ROWS = 16
"""Rows are filled up to a multiple of this, or of an eighth of the power of two above them."""
MOST_FILLED = 1_024
"""Rows from which on filling up, which copies them all, costs more than oneDNN's kernel saves."""
_ONEDNN: bool = torch.backends.mkldnn.is_available() and hasattr(  # type: ignore[no-untyped-call]
    torch.ops.mkldnn, "_linear_pointwise"
)


class Linear(nn.Linear):
    """x (n, in) to (n, out)."""

    def forward(self, x: Tensor, then: Then = "none") -> Tensor:
        """oneDNN where nothing is learned and there is enough to do, else the default."""
        plain = torch.is_grad_enabled() or x.device.type != "cpu" or not _ONEDNN
        if plain or (len(x) * self.out_features < WORTH and then != "gelu"):
            return _after(F.linear(x, self.weight, self.bias), then)
        rows = filled(len(x))
        if rows != len(x) >= MOST_FILLED:
            return _after(F.linear(x, self.weight, self.bias), then)
        whole = x if rows == len(x) else F.pad(x, (0, 0, 0, rows - len(x)))
        product: Tensor = torch.ops.mkldnn._linear_pointwise(whole, self.weight, self.bias, then, [], "none")
        return product[: len(x)]


def filled(rows: int) -> int:
    """Rows to compute for so many: oneDNN builds its code anew for every number that it has not met, in 0.2 ms."""
    step = max(LEAST_ROWS, (1 << (rows - 1).bit_length()) >> 3)
    return -(-rows // step) * step


def _after(x: Tensor, then: Then) -> Tensor:
    if then == "none":
        return x
    return F.relu(x) if then == "relu" else F.gelu(x)
