"""Calibration makes probabilities mean what they say, for every set of modalities."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from fusion.evaluation import calibration_error
from fusion.heads.churn import INTERVALS, Churn
from fusion.heads.protocol import FUSED, MASKS, RHYTHM, Fused, Labels, Setup
from fusion.heads.purchase import Purchase
from fusion.inputs import rhythm
from fusion.masks import shown
from fusion.model import MODALITIES, FusedModel, ModelConfig
from fusion.training.calibration import Pool, fit
from fusion.training.encoding import encoded, preparation
from tests.fusion.shoppers import ACTIONS, shoppers
from tests.fusion.training.test_course import example

SETUP = Setup((), (), nn.Embedding(9, 64))


def test_each_mask_gets_its_own_slope_and_shift() -> None:
    torch.manual_seed(0)
    head = Purchase(SETUP)
    raw, mask = torch.randn(8000) * 3, torch.arange(8000) % 2 + 1
    truth = torch.where(mask == 1, 0.4 * raw - 1, 2 * raw + 0.5)
    label = torch.bernoulli(torch.sigmoid(truth))
    pool = Pool()
    pool.own.append((raw, mask, label))
    pool.robbed.append((raw[:0], mask[:0], label[:0]))
    fit(head, pool)
    for code, slope, shift in ((1, 0.4, -1.0), (2, 2.0, 0.5)):
        np.testing.assert_allclose(head.slope[code], slope, rtol=0.15)
        np.testing.assert_allclose(head.shift[code], shift, atol=0.15)
    with torch.no_grad():
        score = head.columns(head.calibrated(raw[:, None], mask).squeeze(1))["score"]
    for code in (1, 2):
        chosen = mask == code
        assert calibration_error(label[chosen].numpy(), score[chosen].numpy()) < 0.03


def test_a_hazard_learns_when_people_come_back() -> None:
    """Three in ten come back on the first day, half of the rest after three, nobody later."""
    torch.manual_seed(0)
    head = Churn(SETUP)
    n, day_s = 2000, 86_400
    drawn = torch.rand(n)
    away_s = torch.where(drawn < 0.3, 0.5 * day_s, torch.where(drawn < 0.65, 3.0 * day_s, -20.0 * day_s))
    nothing = torch.zeros(n, FUSED)
    fused = Fused(nothing, nothing[:, :64], drawn > 2, nothing[:, :64], torch.zeros(n, RHYTHM), drawn.long())
    missing = torch.full((n,), -1)
    labels = Labels(drawn * torch.nan, away_s, missing, missing[:, None].expand(n, 2), missing, drawn * torch.nan)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(150):
        optimiser.zero_grad()
        loss = head.loss(head(fused), labels)
        loss.backward()
        optimiser.step()
    hazard = torch.sigmoid(head(fused)[0])
    np.testing.assert_allclose(hazard[[0, 2]].detach(), [0.3, 0.5], atol=0.04)
    assert hazard[[1, 3, 4]].max() < 0.02
    assert len(hazard) == len(INTERVALS)
    np.testing.assert_allclose(head.columns(head(fused))["score"][0].detach(), 0.35, atol=0.03)


def test_who_was_watched_for_a_short_while_teaches_only_that_while() -> None:
    head = Churn(SETUP)
    raw = torch.zeros(1, len(INTERVALS), requires_grad=True)
    missing = torch.full((1,), -1)
    nan = torch.full((1,), torch.nan)
    labels = Labels(nan, torch.tensor([-3 * 86_400.0]), missing, missing[:, None].expand(1, 2), missing, nan)
    head.loss(raw, labels).backward()
    assert raw.grad is not None
    assert (raw.grad[0] != 0).tolist() == [True, True, False, False, False], "days one and two were sat out"


def test_rhythm_does_not_depend_on_where_batches_end() -> None:
    batch = shoppers(90, users=2, seed=4, history=0, words=0)
    nth = np.arange(90) - np.searchsorted(batch.row, batch.row) + 1
    whole = rhythm(batch, nth, nth)
    user = np.flatnonzero(batch.row == 1)
    at = user[40]
    ring_ms = batch.event_time_ms[user[8:40]][None]
    one = shoppers(1, users=1, seed=4)
    one = type(one)(
        **{
            **one.__dict__,
            "event_time_ms": batch.event_time_ms[at : at + 1],
            "gap_s": batch.gap_s[at : at + 1],
            "history_time_ms": ring_ms,
            "history_action": np.zeros((1, 32), np.uint8),
        }
    )
    alone = rhythm(one, nth[at : at + 1], np.ones(1, np.int64))
    np.testing.assert_allclose(alone[0], whole[at], atol=1e-6)


def test_hidden_modalities_are_as_if_they_had_never_been() -> None:
    torch.manual_seed(0)
    model = FusedModel(ModelConfig(actions=ACTIONS)).eval()
    given = example(3)
    encoding = encoded(model, preparation(model), given)
    with torch.no_grad():
        output = model(*encoding)
        n = len(given.features)
        for code in range(1, MASKS - 1):
            rows, fused = shown(model, output, code, torch.arange(n))
            drop = torch.tensor([not code >> bit & 1 for bit in range(len(MODALITIES))]).expand(n, -1)
            dropped = model(*encoding, drop).fused
            torch.testing.assert_close(fused.vector, dropped.vector[rows], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(fused.rhythm, dropped.rhythm[rows])
            assert (fused.mask == code).all()
            assert ((output.fused.mask[rows] & code) == code).all()
