"""Votes of the texts that are most alike: who is asked, how much each weighs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from fusion.text_neighbours import SHARPNESS, SIZES, Neighbours


def turned(degrees: list[float]) -> np.ndarray:
    """Directions, of any length."""
    angle = np.radians(degrees)
    return (np.stack([np.cos(angle), np.sin(angle)], 1) * np.arange(1, len(degrees) + 1)[:, None]).astype(np.float32)


def test_nearer_ones_weigh_more() -> None:
    model = Neighbours().fit(turned([0, 10, 60]), np.array([[1, 0], [0, 0], [0, 1]]))
    votes = model.decision_function(turned([0])).reshape(len(SIZES), 2)
    np.testing.assert_allclose(votes[0], [1, -1], atol=1e-6)
    weight = np.exp(SHARPNESS * (np.cos(np.radians([0, 10, 60])) - 1))
    np.testing.assert_allclose(votes[1], weight @ [[1, -1], [-1, -1], [-1, 1]] / weight.sum(), rtol=1e-4)
    np.testing.assert_array_equal(votes[2], votes[1])


def test_so_many_are_asked_as_each_size_says() -> None:
    said = np.array([1] + [0] * 4 + [1] * 15 + [0] * 100)
    model = Neighbours().fit(np.ones((120, 3), np.float32) + np.arange(120)[:, None] * [0, 0, 1e-4], said[:, None])
    votes = model.decision_function(np.ones((1, 3), np.float32))[0]
    expected = [(2 * said[:size] - 1).mean() for size in SIZES]
    np.testing.assert_allclose(votes, expected, atol=0.01)


@pytest.mark.parametrize("rows", [3, 700])
def test_sparse_rows_are_answered_like_dense_ones(rows: int) -> None:
    rng = np.random.default_rng(0)
    x = (rng.random((rows, 40)) * (rng.random((rows, 40)) < 0.3)).astype(np.float32)
    x[0] = 0
    known, said = x[: rows // 2 + 1], rng.integers(0, 2, (rows // 2 + 1, 1))
    dense = Neighbours().fit(known, said).decision_function(x)
    sparse = Neighbours().fit(csr_matrix(known), said).decision_function(csr_matrix(x))
    assert dense.shape == (rows, len(SIZES))
    np.testing.assert_allclose(sparse[1:], dense[1:], atol=1e-4)
    assert np.isfinite(sparse[0]).all()
