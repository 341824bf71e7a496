"""nn.Linear with the quicker of torch's two CPU kernels. Weights, gradients and results are nn.Linear's."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROWS = 48
"""From so many rows on oneDNN's kernel pays for its call: at 512 rows it takes half the time of the default one."""
_ONEDNN: bool = torch.backends.mkldnn.is_available() and hasattr(  # type: ignore[no-untyped-call]
    torch.ops.mkldnn, "_linear_pointwise"
)


class Linear(nn.Linear):
    """x (n, in) to (n, out)."""

    def forward(self, x: Tensor) -> Tensor:
        """oneDNN where nothing is learned and there are rows enough, else the default."""
        if _ONEDNN and len(x) >= ROWS and not torch.is_grad_enabled() and x.device.type == "cpu":
            product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
            return product
        return F.linear(x, self.weight, self.bias)
