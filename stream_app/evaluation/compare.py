"""Artefacts side by side: the yes-or-no answers of each to the same events of users whom none has learned from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from fusion.material import Example
from fusion.model import FusedModel
from fusion.training import encoded, preparation
from fusion.training.calibration import BINARY
from stream_app.evaluation.calibration import DRAWS, held_out
from stream_app.evaluation.draws import Floats, binary_draws, interval, resamples
from stream_app.evaluation.row import Row, Run

FEWEST_ONES = 30
"""Events that happened, below which a head is not judged."""
GAINS = {"accuracy": 1, "auc": 1, "log_loss": -1}
"""Of what a difference is shown, and whether more of it is better."""


def compare(run: Run, models: Mapping[str, FusedModel]) -> Iterator[Row]:
    """Every metric of the first model beside the others', then what it gains over each, the better the greater.

    A set at a time, and `all` of them. Intervals: users resampled, in a difference the same users for both models.
    Only models that were trained on data sets with the default split may be asked: others may know these users.
    """
    torch.set_num_threads(1)
    sets = dict(held_out(run))
    for head in BINARY:
        found = {}
        for name, examples in sets.items():
            with run.console.status(f"{head}: answering for {name}"):
                found[name] = answers(models, examples, head)
        for name, parts in {**{name: [part] for name, part in found.items()}, "all": list(found.values())}.items():
            if name != "all" or len(found) > 1:
                yield from rows(name, head, parts, list(models))


def answers(
    models: Mapping[str, FusedModel], examples: Sequence[Example], head: str
) -> tuple[NDArray[np.float32], NDArray[np.int64], Floats]:
    """(n,) what happened, (n,) whose events, (models, n) probabilities."""
    labels, users, scores, before = [], [], [], 0
    for example in examples:
        label = getattr(example.outcomes, head)
        known = ~np.isnan(label)
        labels.append(label[known])
        users.append(example.features.row[known] + before)
        before += len(example.features.carried)
        scores.append(np.stack([probabilities(model, example, head)[known] for model in models.values()]))
    return np.concatenate(labels), np.concatenate(users), np.concatenate(scores, 1)


@torch.no_grad()
def probabilities(model: FusedModel, example: Example, head: str) -> Floats:
    """(n,) of all events."""
    output = model(*encoded(model, preparation(model), example))
    score: Floats = model.head(head).columns(output.raw[head])["score"].double().numpy()
    return score


def rows(
    name: str, head: str, parts: Sequence[tuple[NDArray[np.float32], NDArray[np.int64], Floats]], models: list[str]
) -> Iterator[Row]:
    """Of one head on one set, or on several together."""
    label = np.concatenate([part[0] for part in parts])
    if min(label.sum(), (1 - label).sum()) < FEWEST_ONES:
        return
    apart = np.cumsum([0, *(part[1].max(initial=-1) + 1 for part in parts)])
    user = np.concatenate([part[1] + start for part, start in zip(parts, apart, strict=False)])
    score = np.concatenate([part[2] for part in parts], 1)
    weight = resamples(user, DRAWS)
    first, *others = (binary_draws(label, each, weight) for each in score)
    base = binary_draws(label, np.full(len(label), label.mean(dtype=float)), weight[:1])
    for metric, draws in first.items():
        beside = {other: float(each[metric][0]) for other, each in zip(models[1:], others, strict=True)}
        beside["base_rate"] = float(base[metric][0])
        yield Row("compare", name, f"{head}_{metric}", float(draws[0]), interval(draws), beside)
    for other, each in zip(models[1:], others, strict=True):
        for metric, sign in GAINS.items():
            gain = sign * (first[metric] - each[metric])
            beside = {"no_difference": 0.0}
            yield Row("compare", name, f"{head}_{metric}_gain_over_{other}", float(gain[0]), interval(gain), beside)
