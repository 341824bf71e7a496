"""Quotients of polynomials stand for the functions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numba import njit
from numpy.typing import NDArray

from encoders import rational

GIVEN = np.concatenate([np.linspace(-12, 12, 100_001), [1e-30, -1e-30, 1e30, -1e30, np.inf, -np.inf, 0]])
TRUTH: dict[str, tuple[Callable[[float], float], float]] = {
    "tanh": (math.tanh, 5e-7),
    "logistic": (lambda x: 0.5 + 0.5 * math.tanh(x / 2), 3e-7),
    "erf": (math.erf, 5e-7),
}


@pytest.mark.parametrize("name", TRUTH)
def test_each_is_what_it_stands_for(name: str) -> None:
    ours, (truth, error) = getattr(rational, name), TRUTH[name]

    @njit  # type: ignore[untyped-decorator]
    def all_of(x: NDArray[np.float32], made: NDArray[np.float32]) -> None:
        for i in range(len(x)):
            made[i] = ours(x[i])

    given = GIVEN.astype(np.float32)
    made = np.empty_like(given)
    all_of(given, made)
    expected = [truth(float(x)) for x in given]
    np.testing.assert_allclose(made, expected, rtol=0, atol=error)
    python = getattr(ours, "py_func", ours)
    np.testing.assert_allclose([python(x) for x in given[::500]], expected[::500], rtol=0, atol=error)
    nothing = np.full(3, np.nan, np.float32)
    all_of(nothing, nothing)
    assert np.isnan(nothing).all()


@pytest.mark.parametrize("jit", [True, False], ids=["machine code", "python"])
def test_gelu_in_place(jit: bool) -> None:
    loop = rational.gelu if jit else getattr(rational.gelu, "py_func", rational.gelu)
    x = np.append(np.linspace(-9, 9, 2_001), np.nan).astype(np.float32)
    expected = F.gelu(torch.from_numpy(x.copy())).numpy()
    loop(x, x)
    np.testing.assert_allclose(x, expected, rtol=1e-5, atol=2e-6)
