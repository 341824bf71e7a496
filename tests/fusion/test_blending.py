"""The loop and the layers mix alike."""

from __future__ import annotations

import pytest
import torch

from encoders.behavior import STATE
from encoders.protocol import VECTOR
from fusion import model
from fusion.blending import add_and_norm, gated_sum
from fusion.model import FUSIONS, Fusion, Slots


def slots(count: int = 40) -> Slots:
    torch.manual_seed(3)
    present = torch.rand(count, 5) < 0.5
    present[0], present[1] = False, True
    sizes = (STATE, VECTOR, VECTOR, VECTOR, VECTOR)
    values = [torch.randn(count, size) * present[:, i, None] for i, size in enumerate(sizes)]
    return Slots(values, present, torch.rand(count, 5, 2) * present[..., None])


@pytest.mark.parametrize("jit", [True, False], ids=["machine code", "python"])
def test_the_quick_mixture_is_the_one_that_learns(jit: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not jit:
        for loop in (gated_sum, add_and_norm):
            monkeypatch.setattr(model, loop.__name__, getattr(loop, "py_func", loop))
    fusion = Fusion()
    slow = [part.detach() for part in fusion(slots())]
    with torch.inference_mode():
        quick = fusion(slots())
    for one, other in zip(quick, slow, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", list(FUSIONS))
@pytest.mark.parametrize("learning", [True, False])
def test_rows_with_another_presence_are_those_rows_hidden(name: str, learning: bool) -> None:
    fusion = FUSIONS[name]()
    rows, present = torch.tensor([7, 7, 1]), torch.rand(3, 5) < 0.5
    with torch.set_grad_enabled(learning):
        views = fusion.views(slots())
        some, _ = fusion.blend(views._replace(present=present), rows)
        for at, row in enumerate(rows):
            one = type(views)(*(part[row : row + 1] for part in views))._replace(present=present[at : at + 1])
            torch.testing.assert_close(some[at : at + 1], fusion.blend(one)[0], atol=1e-5, rtol=1e-5)
