"""The parts of the answer say what they are asked."""

import numpy as np
import torch

from fusion.session_encoder import EncoderSettings, SessionEncoder
from fusion.session_recommender import Answers, SessionNeighbors, similar_sessions
from fusion.session_training import covisit_vectors
from fusion.sessions import Sessions

PREFIX = Sessions(np.array([3, 3, 9, 8, 1, 2, 3, 4, 5, 6]), np.array([0, 1, 4, 10]))


def test_exact_and_coarse_likelihoods_agree_and_sum_to_one() -> None:
    torch.manual_seed(0)
    encoder = SessionEncoder(30, EncoderSettings(size=16, looks=4)).eval()
    torch.nn.init.normal_(encoder.again_place)
    said = Answers(encoder, PREFIX)
    every = np.tile(np.arange(1, 31), (3, 1))
    likely = said.likely(every)
    np.testing.assert_allclose(np.exp(likely).sum(1), 1, rtol=0.05)
    coarse = said.logits.float().log_softmax(1)[:, 1:].numpy()
    np.testing.assert_allclose(likely, coarse, atol=0.15)
    top = said.best(5)
    assert (top > 0).all()
    assert (np.take_along_axis(coarse, top - 1, 1)[:, 0] == coarse.max(1)).all()


def test_neighbours_are_rows_and_nothing_for_the_unknown() -> None:
    log = Sessions(np.array([1, 2, 3, 1, 2, 4, 5, 0, 6]), np.array([0, 3, 5, 7, 9]))
    near = SessionNeighbors(log, similar_sessions(len(log)))
    row, score = near.best(Sessions(np.array([1, 4, 29]), np.array([0, 1, 2, 3])), 3)
    assert row[0, 0] == 2
    assert row[1, 0] == 5
    assert score[0, 0] > 0
    assert ((row == 0) <= (score == 0)).all()


def test_items_seen_together_start_near_each_other() -> None:
    rng = np.random.default_rng(0)
    left = rng.integers(1, 6, (200, 4))
    log = Sessions(np.concatenate([left, left + 5]).ravel(), np.arange(0, 1601, 4))
    vectors = covisit_vectors(log, 10, 4, rng)[1:]
    alike = vectors @ vectors.T
    assert alike[:5, :5].mean() > alike[:5, 5:].mean() + 0.3
