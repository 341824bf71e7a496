"""Candidates are named once with their scores; the mixture learns whom to believe when."""

import numpy as np
import torch

from fusion.session_mixture import Candidates, best, distinct, fit, scored


def test_of_equal_rows_the_first_stays() -> None:
    assert distinct(np.array([[3, 5, 3, 0, 5], [1, 1, 1, 1, 2]])).tolist() == [[3, 5, 0, 0, 0], [1, 0, 0, 0, 2]]


def test_scores_go_to_the_rows_they_were_found_with() -> None:
    found, score = np.array([[4, 2, 0], [2, 0, 0]]), np.array([[0.5, 0.2, 0.0], [0.9, 0.0, 0.0]], np.float32)
    row = np.array([[2, 3, 4, 0], [4, 2, 0, 0]])
    np.testing.assert_allclose(scored(row, found, score), [[0.2, 0, 0.5, 0], [0, 0.9, 0, 0]])


def test_the_gate_believes_the_part_that_is_right_in_this_kind_of_session() -> None:
    rng = np.random.default_rng(0)
    n = 2000
    row = np.tile(np.arange(1, 6), (n, 1))
    row[:, 4] = 0
    traits = rng.normal(size=(n, 5, 2)).astype(np.float32)
    kind = rng.integers(2, size=(n, 1)).astype(np.float32)
    right = np.where(kind[:, :1] > 0, traits[:, :4, 1], traits[:, :4, 0]).argmax(1)
    known = Candidates(row, traits, kind)
    torch.set_num_threads(1)
    mixture = fit(known.some(np.arange(1500)), right[:1500] + 1, seed=0, epochs=20)
    top = best([mixture], known.some(np.arange(1500, n)), 4)
    assert (top > 0).all(), "padding is never answered"
    assert (top[:, 0] == right[1500:] + 1).mean() > 0.85
