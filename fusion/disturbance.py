"""Photos as another camera might have taken them, to learn from."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def disturbed(pixels: Tensor) -> Tensor:
    """Photos mirrored, turned, scaled, moved and relit by chance: (n, 3, h, w) uint8 to 0..1 float."""
    n, device = len(pixels), pixels.device
    x = pixels.float() / 255
    x = torch.where(torch.rand(n, 1, 1, 1, device=device) < 0.5, x.flip(-1), x)
    turn, scale = 0.35 * (torch.rand(n, device=device) - 0.5), 1 + 0.35 * (torch.rand(n, device=device) - 0.5)
    move = 0.25 * (torch.rand(n, 2, device=device) - 0.5)
    along, across = scale * turn.cos(), scale * turn.sin()
    affine = torch.stack([along, -across, move[:, 0], across, along, move[:, 1]], -1).view(n, 2, 3)
    grid = F.affine_grid(affine, list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    return (x * (1 + 0.2 * torch.randn(n, 3, 1, 1, device=device))).clamp(0, 1)
