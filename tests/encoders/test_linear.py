"""The quick kernel and the default one are the same function."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from encoders.linear import LEAST_ROWS, WORTH, Linear, Then, filled, gelu, onednn

MANY = WORTH // 7
AFTER = {"none": lambda x: x, "relu": F.relu, "gelu": F.gelu}


@pytest.mark.parametrize("then", ["none", "relu", "gelu"])
@pytest.mark.parametrize("rows", [0, 1, LEAST_ROWS + 1, MANY, MANY + 1, 3 * MANY])
def test_it_is_the_linear_layer_it_looks_like(rows: int, then: Then) -> None:
    torch.manual_seed(rows)
    ours, plain = Linear(24, 7), nn.Linear(24, 7)
    plain.load_state_dict(ours.state_dict())
    given = torch.randn(rows, 24)
    with torch.inference_mode():
        expected = AFTER[then](plain(given))
        torch.testing.assert_close(ours(given, then), expected, atol=1e-5, rtol=1e-5)
        if rows and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            torch.testing.assert_close(onednn(given, ours.weight, ours.bias, then), expected, atol=1e-5, rtol=1e-5)


def test_it_learns() -> None:
    layer = Linear(4, 2)
    layer(torch.ones(MANY, 4)).sum().backward()
    torch.testing.assert_close(layer.bias.grad, torch.full((2,), float(MANY)))


def test_few_different_numbers_of_rows_are_computed_for_little_more_work() -> None:
    made = [filled(rows) for rows in range(1, 5000)]
    assert all(rows <= took <= max(rows + LEAST_ROWS, 1.25 * rows) for rows, took in enumerate(made, 1))
    assert len(set(made)) < 60


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 16, 300, 1023, 1024, 1025, 2500])
def test_gelu_is_gelu(rows: int) -> None:
    x = torch.randn(rows, 32)
    with torch.inference_mode():
        torch.testing.assert_close(gelu(x), F.gelu(x))
        torch.testing.assert_close(gelu(x.view(rows, 4, 8)), F.gelu(x.view(rows, 4, 8)))


def test_sizes_come_again_so_that_no_more_machine_code_is_written() -> None:
    script = """
import torch
from encoders.image import PIXELS, ImageEncoder
from encoders.linear import Linear
layer, image = Linear(128, 128), ImageEncoder().eval()
with torch.inference_mode():
    for first in (1, 2):
        for rows in (*range(1, 17), *range(first, 600, 7)):
            layer(torch.zeros(rows, 128), "gelu")
            image.look(torch.zeros(rows % 40 + 1, 3, PIXELS, PIXELS, dtype=torch.uint8))
        print("round", first, flush=True)
"""
    said = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"ONEDNN_VERBOSE": "2"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    before, after, _ = re.split(r"^round \d$", said, flags=re.MULTILINE)
    assert ("cache_miss" in before) is torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    assert "cache_miss" not in after
