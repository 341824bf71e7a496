"""The loops remember and carry what the layers that learn do."""

from __future__ import annotations

import pytest
import torch

from encoders.protocol import VECTOR
from fusion import model, recall
from fusion.inputs import Remembered
from fusion.model import kept, recalled


def memory(users: int, events: int) -> tuple[Remembered, torch.Tensor]:
    """Users with and without a vector, fresh ones among them one of zeros, and a user without event."""
    torch.manual_seed(users)
    fresh = torch.randn(events, VECTOR)
    fresh[0] = 0
    chosen = torch.arange(0, events, 2)
    pick = torch.randint(-1, users + len(chosen), (40,))
    pick[0] = users  # that of zeros
    last = torch.randint(0, 40, (users,))
    last[-1] = -1
    carried = torch.randint(-127, 128, (users, VECTOR)) * torch.rand(users, 1) * (torch.rand(users, 1) < 0.7)
    return Remembered(pick, torch.rand(40), torch.rand(40), carried, chosen, last), fresh


@pytest.mark.parametrize("jit", [True, False], ids=["machine code", "python"])
def test_the_quick_memory_is_the_one_that_learns(jit: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not jit:
        monkeypatch.setattr(recall, "largest", getattr(recall.largest, "py_func", recall.largest))
        for loop in (recall.recall, recall.keep):
            monkeypatch.setattr(model, loop.__name__, getattr(loop, "py_func", loop))
    held, fresh = memory(9, 14)
    slow = recalled(held, fresh)
    with torch.inference_mode():
        quick = recalled(held, fresh)
    torch.testing.assert_close(quick.vector, slow.vector, atol=1e-6, rtol=1e-6)
    assert quick.present.tolist() == slow.present.tolist()
    whole, scale = kept(held, slow)
    with torch.inference_mode():
        quick_whole, quick_scale = kept(held, quick)
    torch.testing.assert_close(quick_scale, scale, atol=0, rtol=1e-6)
    apart = (quick_whole.int() - whole.int()).abs()
    assert apart.max() <= 1  # where a number lies between two steps
    assert (apart == 0).float().mean() > 0.98


def test_nobody_remembers_anything() -> None:
    held = Remembered(
        torch.full((3,), -1), torch.zeros(3), torch.zeros(3), torch.zeros(0, VECTOR), *[torch.zeros(0).long()] * 2
    )
    with torch.inference_mode():
        quick = recalled(held, torch.zeros(0, VECTOR))
        assert not quick.vector.any()
        assert [len(part) for part in kept(held, quick)] == [0, 0]
