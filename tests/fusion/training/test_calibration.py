"""Calibration makes probabilities mean what they say, for every set of modalities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from fusion.evaluation import calibration_error
from fusion.heads.churn import INTERVALS, Churn
from fusion.heads.protocol import FUSED, MASKS, Fused, Labels, Setup
from fusion.heads.purchase import Purchase
from fusion.masks import shown
from fusion.model import MODALITIES, FusedModel, ModelConfig
from fusion.rhythm import RHYTHM
from fusion.training.calibration import Pool, fit
from fusion.training.encoding import encoded, preparation
from tests.fusion.shoppers import ACTIONS, shoppers
from tests.fusion.training.test_course import example

SETUP = Setup((), (), nn.Embedding(9, 64))


def test_each_mask_gets_its_own_slope_and_shift() -> None:
    torch.manual_seed(0)
    head = Purchase(SETUP)
    raw, mask = torch.randn(800_000) * 3, torch.arange(800_000) % 2 + 1
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


def test_rhythm_tells_visits_apart() -> None:
    batch = shoppers(40, users=1, seed=4, history=0, words=0)
    day_ms = 86_400_000
    time_ms = 1_700_000_000_000 + np.arange(40) // 8 * day_ms + np.arange(40) % 8 * 1000  # five days of eight events
    batch = replace(batch, event_time_ms=time_ms, gap_s=np.diff(time_ms / 1000, prepend=0).astype(np.float32))
    inputs, _ = preparation(FusedModel(ModelConfig(actions=ACTIONS)))(batch)
    rhythm = inputs.rhythm.numpy()
    assert rhythm[0, 5] == 1, "the first event"
    assert rhythm[1:, 5].max() == 0
    assert rhythm[:8, 6].max() == 0, "one visit has no pause"
    np.testing.assert_allclose(rhythm[[8, 23, 31], 6] * 8, [1, 2, 3])
    np.testing.assert_allclose(rhythm[39, 6] * 8, 3, err_msg="32 events are looked at: four visits")
    hours = np.expm1(rhythm[31] * [1, 1, 8, 1, 8, 1, 1, 6, 6])
    np.testing.assert_allclose(hours[[7, 8]], 24, rtol=0.01)
    np.testing.assert_allclose(hours[2], 72, rtol=0.01)


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
