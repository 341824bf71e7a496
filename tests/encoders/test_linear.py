"""The quick kernel and the default one are the same function."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from encoders.linear import ROWS, Linear


@pytest.mark.parametrize("rows", [0, 1, ROWS - 1, ROWS, 3 * ROWS])
def test_it_is_the_linear_layer_it_looks_like(rows: int) -> None:
    torch.manual_seed(rows)
    ours, plain = Linear(24, 7), nn.Linear(24, 7)
    plain.load_state_dict(ours.state_dict())
    given = torch.randn(rows, 24)
    with torch.inference_mode():
        torch.testing.assert_close(ours(given), plain(given), atol=1e-5, rtol=1e-5)


def test_it_learns() -> None:
    layer = Linear(4, 2)
    layer(torch.ones(2 * ROWS, 4)).sum().backward()
    torch.testing.assert_close(layer.bias.grad, torch.full((2,), 2.0 * ROWS))
