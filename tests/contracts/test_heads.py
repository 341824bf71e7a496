"""Every prediction: what a head must do to be registered."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from torch import nn

import fusion.heads
from fusion.heads import HEADS
from fusion.heads.protocol import FUSED, MASKS, Fused, Labels, Setup
from fusion.rhythm import RHYTHM
from tests.fusion.rendering import outputs

COUNT = 6
SHARED = {"__init__", "protocol", "binary"}


@pytest.fixture(params=list(HEADS))
def head(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return HEADS[request.param](
        Setup(("view", "click", "purchase"), ("buyers", "browsers"), nn.Embedding(9, 64))
    ).eval()


def fused(count: int = COUNT) -> Fused:
    torch.manual_seed(1)
    spoke = torch.arange(count) % 2 == 0
    opinion = torch.randn(count, 64) * spoke[:, None]
    mask = torch.arange(count) % MASKS
    return Fused(torch.randn(count, FUSED), opinion, spoke, torch.randn(count, 64), torch.rand(count, RHYTHM), mask)


def labels(known: bool) -> Labels:
    yes = torch.tensor([1.0, 0, 1, 0, 1, 0]) if known else torch.full((COUNT,), float("nan"))
    one = torch.tensor([0, 1, 2, 0, 1, 2]) if known else torch.full((COUNT,), -1)
    return Labels(yes, yes, one, (one[:, None] + 1).expand(COUNT, 2), one, yes)


def arrays(head: nn.Module, given: Fused) -> dict[str, np.ndarray]:
    with torch.no_grad():
        columns = {name: value.numpy() for name, value in head.columns(head(given)).items()}
    if "direction" in columns:
        n = len(columns["direction"])
        return {"product_id": np.array([["a", "b", None]] * n, object).reshape(n, 3), "score": np.ones((n, 3))}
    return columns


def test_every_head_file_is_registered() -> None:
    files = {path.stem for path in Path(fusion.heads.__path__[0]).glob("*.py")} - SHARED
    assert files == set(HEADS)


def test_outputs_are_json_of_the_declared_type(head: nn.Module) -> None:
    rendered = outputs(head.render(arrays(head, fused())), COUNT)
    assert len(rendered) == COUNT
    for output in rendered:
        made = msgspec.json.decode(msgspec.json.encode(output), type=head.Output | None, strict=True)
        assert msgspec.to_builtins(made) == output, "the type says all there is"


def test_no_events_no_outputs(head: nn.Module) -> None:
    assert outputs(head.render(arrays(head, fused(0))), 0) == []


def test_alone_equals_in_a_batch(head: nn.Module) -> None:
    given = fused()
    together = head(given)
    for i in range(COUNT):
        alone = head(Fused(*(part[i : i + 1] for part in given)))
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("known", [True, False])
def test_loss_is_finite_and_differentiable_with_labels_missing(head: nn.Module, known: bool) -> None:
    given = fused()
    loss = head.loss(head(given._replace(vector=given.vector.requires_grad_())), labels(known))
    loss.backward()
    assert loss.isfinite()
    if not known:
        assert loss.item() == 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in head.parameters())


def test_a_temperature_softens_without_reordering(head: nn.Module) -> None:
    given = fused()
    with torch.no_grad():
        before = head.columns(head(given))
        head.temperature.fill_(3.0)
        after = head.columns(head(given))
    if "scores" in before:
        assert (before["scores"].argmax(-1) == after["scores"].argmax(-1)).all()
        assert (after["scores"].amax(-1) <= before["scores"].amax(-1)).all()


def test_sentiment_is_absent_where_nothing_was_said() -> None:
    head = HEADS["sentiment"](Setup((), (), nn.Embedding(9, 64)))
    rendered = outputs(head.render(arrays(head, fused())), COUNT)
    assert [output is None for output in rendered] == [False, True] * 3
    assert all(-1 <= output["score"] <= 1 for output in rendered if output)


def test_recommendations_are_ranked_and_skip_what_is_missing() -> None:
    head = HEADS["recommendations"](Setup((), (), nn.Embedding(9, 64)))
    (first, *_) = outputs(head.render(arrays(head, fused())), COUNT)
    assert [(r["product_id"], r["rank"]) for r in first] == [("a", 1), ("b", 2)]
