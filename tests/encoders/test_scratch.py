"""Arrays that are held from one batch to the next."""

from __future__ import annotations

import torch

from encoders.linear import Linear
from encoders.scratch import Scratch, room, space


def test_the_same_memory_comes_again_in_any_shape_that_fits() -> None:
    scratch = Scratch()
    first = scratch.room("a", 4, 6)
    assert scratch.room("a", 3, 2, 4).data_ptr() == first.data_ptr()
    assert scratch.room("b", 4, 6).data_ptr() != first.data_ptr()
    larger = scratch.room("a", 5, 6)
    assert larger.shape == (5, 6)
    assert scratch.room("a", 4, 6).data_ptr() == larger.data_ptr()


def test_nothing_is_held_while_something_learns() -> None:
    layer, x = Linear(8, 4), torch.randn(3, 8)
    scratch = Scratch()
    assert room(scratch, "a", 2) is None
    answer = layer(x, out=room(scratch, "b", 3, 4))
    answer.sum().backward()
    assert layer.weight.grad is not None
    with torch.no_grad():
        assert room(None, "a", 2) is None
        held = layer(x, out=room(scratch, "b", 3, 4))
        torch.testing.assert_close(held, answer)
        assert layer(torch.zeros(3, 8), out=room(scratch, "b", 3, 4)).data_ptr() == held.data_ptr()


def test_there_is_space_without_scratch_too() -> None:
    scratch = Scratch()
    with torch.inference_mode():
        assert space(scratch, "a", 2, 3).data_ptr() == space(scratch, "a", 6).data_ptr()
        assert space(None, "a", 2, 3).shape == (2, 3)
    assert space(scratch, "a", 2, 3).data_ptr() != scratch.room("a", 6).data_ptr()
