"""The heads that learn alone leave everything else as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fusion.material import Example
from fusion.model import FusedModel, ModelConfig
from fusion.training import Journal, Saved
from fusion.training.answers import ALONE, learn_answers, seen, told
from fusion.training.bench import Bench, one_cycle
from fusion.training.sequences import balanced, ready
from tests.fusion.shoppers import ACTIONS
from tests.fusion.training.test_course import PLAN, example, quiet


def bench(journal: Journal) -> Bench:
    torch.manual_seed(0)
    model = FusedModel(ModelConfig(actions=ACTIONS)).eval()
    return Bench(model, replace(PLAN, answer_epochs=20, patience=20), np.random.default_rng(0), journal, Saved())


def test_only_these_heads_learn_and_answer_better() -> None:
    journal = quiet()
    made = bench(journal)
    model = made.model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    given = ready(model, [example(seed) for seed in range(3)])
    fused, labels = told(made, given)
    losses = [model.head(name).loss(model.head(name)(fused), labels).item() for name in ALONE]
    learn_answers(made, given, given)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith(tuple(f"heads.{head}." for head in ALONE)) for name in changed)
    for name, loss in zip(ALONE, losses, strict=True):
        assert model.head(name).loss(model.head(name)(fused), labels).item() < loss


def test_events_are_seen_alike_each_time() -> None:
    made = bench(quiet())
    given = ready(made.model, [example(1)])
    one, other = seen(made, given)[0], seen(made, given)[0]
    assert torch.equal(one.vector, other.vector), "a resumed training goes on with the same"
    plain = told(made, given)[0]
    assert (one.mask[: len(plain.mask)] & ~plain.mask == 0).all()
    assert (one.mask[: len(plain.mask)] != plain.mask).any(), "some modalities are hidden"


def test_recorded_people_have_as_many_turns_as_the_invented() -> None:
    def of(anomaly: float) -> Example:
        given = example(1)
        return given._replace(outcomes=given.outcomes._replace(anomaly=np.full(60, anomaly, np.float32)))

    invented, recorded = [of(0.0)] * 7, [of(np.nan)] * 2
    assert balanced([*invented, *recorded]) == [*range(7), 7, 7, 7, 8, 8, 8]
    assert balanced(recorded) == [0, 1]
    assert balanced(invented) == [*range(7)]


@pytest.mark.parametrize("steps", range(12))
def test_a_few_steps_are_enough_for_a_cycle(steps: int) -> None:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = one_cycle(optimiser, 2.0, steps)
    rates = [schedule.get_last_lr()[0]]
    for _ in range(steps - 1):
        optimiser.step()
        schedule.step()
        rates.append(schedule.get_last_lr()[0])
    assert all(0 <= rate <= 2 for rate in rates)
