"""The Triton kernel looks back as the loop in machine code does: on a GPU where there is one, else interpreted."""

from __future__ import annotations

import importlib
import importlib.util
import os

import numpy as np
import pytest
import torch

from encoders import look_back

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="this torch has no Triton")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
if DEVICE.type == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported, which nothing has done before
ROWS, SIZE, ACTIONS = 50, 64, 11


@pytest.mark.parametrize(("events", "width"), [(1, 1), (5, 7), (9, 32), (3, 40)])
@pytest.mark.parametrize("kind", [torch.int32, torch.int64])
def test_it_finds_what_the_loop_finds(events: int, width: int, kind: torch.dtype) -> None:
    kernel = importlib.import_module("encoders.look_back_kernel")
    rng = np.random.default_rng(events * width)
    table = rng.normal(size=(ROWS, SIZE)).astype(np.float32)
    item, action = rng.integers(0, ROWS, (events, width, 2)), rng.integers(0, ACTIONS, (events, width))
    action[:, -1] = 1  # the event itself
    age_s = rng.exponential(90_000, (events, width)).astype(np.float32)
    same = rng.random((events, width)) < 0.3
    query, liking = (rng.normal(size=(events, size)).astype(np.float32) for size in (SIZE, ACTIONS))
    expected = np.empty((events, SIZE + look_back.LOOKS * ACTIONS), np.float32)
    log_age, fade = np.log1p(age_s / 60), np.exp(age_s / -look_back.FADES_S[-1])
    look_back.look_back(table, item, action, log_age, fade, same, query, liking, 0.4, expected)
    expected[:, SIZE + ACTIONS :] = np.log1p(expected[:, SIZE + ACTIONS :])
    items, actions = (torch.from_numpy(each).to(DEVICE, kind) for each in (item, action))
    rest = (torch.from_numpy(each).to(DEVICE) for each in (age_s, same, query, liking))
    found = kernel.look_back(torch.from_numpy(table).to(DEVICE), items, actions, *rest, torch.tensor(0.4).to(DEVICE))
    np.testing.assert_allclose(found.cpu().numpy(), expected, atol=2e-4)
