from dataclasses import replace

import pytest
import torch

from fusion.dialog_behavior import BEHAVIOR
from fusion.dialog_model import (
    HIDE_BEHAVIOR,
    HIDE_NOTHING,
    HIDE_TEXT,
    VARIANTS,
    Cases,
    DialogPlan,
    Sizes,
    answers,
    learn_dialogs,
)

torch.set_num_threads(1)
SIZES = Sizes(said=6, answered=5, actions=3, tokens=9, counts=4)


def cases(n: int = 40) -> Cases:
    draw = torch.Generator().manual_seed(0)
    return Cases(
        dialog=torch.arange(n) // 4,
        turn=(torch.arange(n) % 4).float(),
        behavior=torch.randn(n, BEHAVIOR, generator=draw),
        said=torch.randn(n, 6, generator=draw),
        answered=torch.randn(n, 5, generator=draw),
        tokens=torch.randint(0, 9, (n, 5), generator=draw),
        counts=torch.randn(n, 4, generator=draw),
        next_action=torch.randint(-1, 3, (n,), generator=draw),
        cart=torch.randint(0, 2, (n,), generator=draw).float(),
    )


@pytest.mark.parametrize("name", VARIANTS)
def test_what_is_hidden_changes_nothing(name: str) -> None:
    known = cases()
    model = learn_dialogs(known, known, SIZES, variant=VARIANTS[name], plan=DialogPlan(epochs=1))
    deaf = replace(known, said=known.said + 1, answered=-known.answered, tokens=known.tokens.flip(0))
    blind = replace(known, behavior=-known.behavior, counts=known.counts + 1)
    for other, hidden in ((deaf, HIDE_TEXT), (blind, HIDE_BEHAVIOR)):
        said, unchanged = answers(model, known, hidden), answers(model, other, hidden)
        assert (said.action == unchanged.action).all()
        assert (said.cart == unchanged.cart).all()
        assert (answers(model, known, HIDE_NOTHING).cart != answers(model, other, HIDE_NOTHING).cart).any()


def test_the_same_seed_learns_the_same() -> None:
    known = cases()
    first, again, other = (
        answers(
            learn_dialogs(known, known, SIZES, variant=VARIANTS["gated"], plan=DialogPlan(epochs=1, seed=seed)),
            known,
            HIDE_NOTHING,
        ).cart
        for seed in (0, 0, 1)
    )
    assert (first == again).all()
    assert (first != other).any()
