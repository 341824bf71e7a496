"""The read-out: what a line through the origin cannot tell, it can; and it is a function of its seed."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from fusion.text_read_out import NETS, ReadOut


def quarters(seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(2,000, 8) points, and whether two of their signs agree, and whether a third is positive."""
    x = np.random.default_rng(seed).normal(size=(2_000, 8)).astype(np.float32)
    return x, np.stack([x[:, 0] * x[:, 1] > 0, x[:, 2] > 0], 1).astype(np.int64)


def test_it_learns_what_no_single_direction_tells() -> None:
    x, truth = quarters(0)
    unseen, expected = quarters(1)
    logits = ReadOut(0).fit(x, truth).decision_function(unseen)
    assert logits.shape == expected.shape
    agreed, third = ((logits > 0) == expected).mean(0)
    assert agreed > 0.7  # by any line .5
    assert third > 0.9


def test_one_seed_one_answer_and_its_nets_differ() -> None:
    x, truth = quarters(0)
    model = ReadOut(3).fit(x, truth)
    with torch.inference_mode():
        apart = [net(torch.from_numpy(x)).numpy() for net in model.nets]
    assert len(apart) == NETS
    assert not np.allclose(apart[0], apart[1], atol=1e-3)
    np.testing.assert_allclose(model.decision_function(x), np.mean(apart, 0), atol=1e-5)
    np.testing.assert_array_equal(ReadOut(3).fit(x, truth).decision_function(x), model.decision_function(x))
    assert not np.allclose(ReadOut(4).fit(x, truth).decision_function(x), model.decision_function(x), atol=1e-3)
