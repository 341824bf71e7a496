"""The shares against the formula itself: every order in which the modalities could have joined."""

from __future__ import annotations

import subprocess
import sys
from itertools import permutations

import numpy as np
import pytest
import torch
from torch import Tensor

from fusion import shapley
from fusion.features import FeatureBatch
from fusion.heads.binary import Binary
from fusion.heads.protocol import Fused
from fusion.model import MODALITIES, SLOT_MODALITY, Output
from fusion.scorer import Scorer
from fusion.shapley import ANSWERS, coalitions, weights
from fusion.shapley_kernel import divide
from tests.fusion.shoppers import ACTIONS, shoppers

NOISE = 4e-6
"""What 16 float32 probabilities of one event differ by in all, computed alone and in a batch."""


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer.load(device="cpu", actions=ACTIONS)


@pytest.fixture(scope="module")
def batch() -> FeatureBatch:
    return shoppers(48, users=8, seed=5, history=4, words=0.5)


def answers(scorer: Scorer, output: Output, row: int, shown: set[int], spoken: bool) -> Tensor:
    """All probabilities of one event with only some modalities, by hiding the others' slots."""
    slots = torch.tensor([modality in shown for modality in SLOT_MODALITY])[None]
    views = type(output.views)(*(part[row : row + 1] for part in output.views))
    vector, _ = scorer._net.fusion.blend(views._replace(present=views.present & slots))
    said = (MODALITIES.index("voice") if spoken else MODALITIES.index("text")) in shown
    one = Fused(*(part[row : row + 1] for part in output.fused))
    mask = torch.tensor([sum(1 << modality for modality in shown)])
    acts = 0 in shown
    given = Fused(vector, one.opinion * said, one.has_opinion & said, one.items * acts, one.rhythm * acts, mask)
    parts = []
    for name in ANSWERS:
        columns = scorer.heads[name].columns(scorer.heads[name](given))
        parts.append(columns["scores"][0] / 2 if "scores" in columns else columns["score"])
    return torch.cat(parts)


@pytest.mark.parametrize("jit", [True, False], ids=["machine code", "python"])
def test_shares_are_the_mean_over_all_orders_of_joining(
    scorer: Scorer, batch: FeatureBatch, jit: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not jit:
        monkeypatch.setattr(shapley, "divide", getattr(divide, "py_func", divide))
    shares = scorer.score(batch).modalities
    counts, far = set(), 0
    with torch.inference_mode():
        inputs, notes = scorer._prepare(batch)
        output = scorer._net(inputs)
        for row in range(len(batch)):
            present = {m for slot, m in enumerate(SLOT_MODALITY) if output.views.present[row, slot]}
            counts.add(len(present))
            moved = np.zeros(len(MODALITIES))
            total = {m: torch.zeros(()) for m in present}
            orders = list(permutations(present))
            for order in orders:
                shown: set[int] = set()
                before = answers(scorer, output, row, shown, bool(notes.spoken[row]))
                for modality in order:
                    shown.add(modality)
                    after = answers(scorer, output, row, shown, bool(notes.spoken[row]))
                    total[modality] = total[modality] + (after - before) / len(orders)
                    before = after
            for modality, value in total.items():
                moved[modality] = value.abs().sum()
            np.testing.assert_allclose(shares[row] * moved.sum(), moved, atol=NOISE)
            far += moved.sum() > 1000 * NOISE
    assert far > len(batch) / 2, "so little moves that rounding decides"
    assert counts >= {1, 2, 3, 4}, "the batch must have every number of players"


def test_shares_sum_to_one_over_what_is_present(scorer: Scorer, batch: FeatureBatch) -> None:
    shares = scorer.score(batch).modalities
    assert (shares >= 0).all()
    with torch.inference_mode():
        present = scorer._net(scorer._prepare(batch)[0]).views.present[:, [0, 2, 3, 4]].numpy()
    np.testing.assert_array_equal(shares > 0, present)
    np.testing.assert_allclose(shares.sum(1), present.any(1), atol=1e-6)


def test_one_modality_alone_takes_all(scorer: Scorer) -> None:
    shares = scorer.score(shoppers(9, seed=1, words=0)).modalities
    np.testing.assert_array_equal(shares, [[1, 0, 0, 0]] * 9)


def test_a_modality_that_moves_nothing_is_listed_and_all_share_evenly(batch: FeatureBatch) -> None:
    dull = Scorer.load(device="cpu", actions=ACTIONS)
    with torch.no_grad():
        for name in ANSWERS:
            for parameter in dull._net.heads[name].parameters():
                parameter.zero_()
            if isinstance(head := dull.heads[name], Binary):
                head.shift.zero_()  # what calibration adds differs between masks
            if name == "anomaly":
                dull._net.heads[name].usual[1] = 1e9  # everybody is as usual
    shares = dull.score(batch).modalities
    for row in shares[(shares > 0).sum(1) > 1]:
        held = row[row > 0]
        np.testing.assert_allclose(held, 1 / len(held), atol=1e-3)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_weights_give_out_exactly_what_everybody_together_is_worth(count: int) -> None:
    worth = np.random.default_rng(count).random((1 << count) - 1)
    np.testing.assert_allclose((weights(count) @ worth).sum(), worth[-1], rtol=1e-6)


def test_coalitions_leave_out_nobody_and_everybody() -> None:
    assert [coalitions(mask).tolist() for mask in (0, 1, 6, 13)] == [[], [], [2, 4], [1, 4, 5, 8, 9, 12]]


@pytest.mark.parametrize("at_once", [1, 7])
def test_answers_to_coalitions_are_the_same_in_a_pass_of_their_own(
    scorer: Scorer, batch: FeatureBatch, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = scorer.score(batch)
    monkeypatch.setattr(shapley, "AT_ONCE", at_once)
    apart = scorer.score(batch)
    np.testing.assert_allclose(together.modalities, apart.modalities, atol=1e-4)
    for name, columns in apart.columns.items():
        for key, values in columns.items():
            assert len(together.columns[name][key]) == len(values) == len(batch)
            if values.dtype.kind == "f":
                np.testing.assert_allclose(together.columns[name][key], values, atol=1e-5)


def test_scoring_starts_no_threads_of_a_numeric_library() -> None:
    script = """
import time
from fusion.scorer import Scorer
from tests.fusion.shoppers import ACTIONS, shoppers
scorer = Scorer.load(device="cpu", actions=ACTIONS)
batch = shoppers(4000, users=100, seed=1, history=4, words=0.5)
for _ in range(2):
    scorer.score(batch)
own, every = time.thread_time(), time.process_time()
for _ in range(4):
    scorer.score(batch)
print((time.process_time() - every) / (time.thread_time() - own))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 1.05, "CPU of the process over that of the thread which scores"
