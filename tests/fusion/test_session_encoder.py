"""The encoder is causal and padded freely; the loss is the plain one; sampling leaves it unbiased."""

import numpy as np
import pytest
import torch

from fusion.session_encoder import EncoderSettings, SessionEncoder
from fusion.session_softmax import retrieval_loss
from fusion.session_training import TrainingSettings, loss_of, sampled

SMALL = EncoderSettings(size=16, looks=4, dropout=0.0)


@pytest.fixture
def model() -> SessionEncoder:
    torch.manual_seed(0)
    made = SessionEncoder(50, SMALL).eval()
    torch.nn.init.normal_(made.again.weight)
    return made


@torch.no_grad()
def test_what_comes_later_and_padding_change_nothing(model: SessionEncoder) -> None:
    table = model.table()
    whole, gain = model(torch.tensor([[3, 9, 3, 7, 11, 2]]), table)
    part, part_gain = model(torch.tensor([[3, 9, 3, 0, 0]]), table)
    torch.testing.assert_close(part[:, :3], whole[:, :3])
    torch.testing.assert_close(part_gain[:, :3, :3], gain[:, :3, :3])
    assert (gain[0, 5, :2] == 0).all(), "beyond the last four items nothing is looked at"
    assert (gain[0, 5, 2:] != 0).all()


@torch.no_grad()
def test_a_finely_rounded_state_is_the_state(model: SessionEncoder) -> None:
    session = torch.tensor([[3, 9, 3, 7]])
    exact, _ = model(session, model.table())
    fine, _ = model(session, model.table(), levels=1 << 20)
    coarse, _ = model(session, model.table(), levels=2)
    torch.testing.assert_close(fine, exact, atol=1e-4, rtol=1e-4)
    assert (coarse - exact).abs().max() > 1e-3


def test_the_loss_and_its_gradients_are_those_of_a_plain_softmax() -> None:
    generator = torch.Generator().manual_seed(0)
    asked, table, gain = (
        torch.randn(size, generator=generator, requires_grad=True) for size in ((6, 8), (20, 8), (6, 2))
    )
    seen, target = torch.randint(20, (6, 2), generator=generator), torch.arange(6)
    weight = torch.linspace(0.1, 1, 6)
    ours = retrieval_loss(asked, table, seen, gain, target, weight)
    grads = torch.autograd.grad(ours, (asked, table, gain))
    logits = (asked @ table.T).scatter_add(1, seen, gain)
    plain = (torch.nn.functional.cross_entropy(logits, target, reduction="none") * weight).sum()
    expected = torch.autograd.grad(plain, (asked, table, gain))
    torch.testing.assert_close(ours, plain, rtol=0.02, atol=0.02)
    for one, other in zip(grads, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.05)


def test_sampled_negatives_stand_for_all_others() -> None:
    rows, correction = sampled(torch.tensor([[5, 7, 0]]), 100, 20, np.random.default_rng(0))
    assert rows[:3].tolist() == [0, 5, 7]
    assert len(set(rows.tolist())) == 23
    assert float(correction.exp().sum()) == pytest.approx(100)


def test_the_sampled_loss_is_near_the_full_one(model: SessionEncoder) -> None:
    session, rng = torch.tensor([[3, 9, 3, 7], [1, 2, 0, 0]]), np.random.default_rng(0)
    full = loss_of(model, session, TrainingSettings(), rng)
    some = [loss_of(model, session, TrainingSettings(negatives=30, full_up_to=0), rng).item() for _ in range(50)]
    assert np.mean(some) == pytest.approx(full.item(), abs=0.15)
