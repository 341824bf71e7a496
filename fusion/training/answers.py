"""The yes-or-no heads once more, alone: from single events of all sources mixed."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusion.heads.protocol import Fused, Labels
from fusion.model import MODALITIES
from fusion.training.bench import Bench, one_cycle, shuffled
from fusion.training.descent import Stage
from fusion.training.encoding import device_of, disguised, labels_of, preparation
from fusion.training.sequences import HIDDEN, WEIGHTS, Ready, mean_figures, sum_of

ALONE = ("purchase", "churn")
"""Heads whose labels are rare, or are told by few of the sources."""
BATCH = 1024
LOOKS = 2
"""Times that each event is seen, with other ids and other modalities hidden."""

Rows = TypeVar("Rows", Fused, Labels)


def learn_answers(bench: Bench, examples: Ready, valid: Ready) -> None:
    """What is known of an event stands still; only the heads learn what it means.

    A batch of sequences comes from one source, so its few steps pull a head to and fro; here each batch has all.
    """
    model, plan = bench.model, bench.plan
    modules = [model.heads[name] for name in ALONE]
    optimiser = torch.optim.AdamW(
        [p for module in modules for p in module.parameters()], lr=plan.rate, weight_decay=0.01
    )
    fused, labels = seen(bench, examples)
    known, answers = told(bench, valid)

    def losses(of: Fused, what: Labels) -> dict[str, Tensor]:
        return {name: WEIGHTS[name] * model.head(name).loss(model.head(name)(of), what) for name in ALONE}

    def loss(chosen: NDArray[np.int64]) -> Tensor:
        at = torch.from_numpy(chosen).to(fused.vector.device)
        return sum_of(losses(taken(fused, at), taken(labels, at)))

    bench.descend(
        Stage(
            name="answers",
            epochs=plan.answer_epochs,
            modules=modules,
            optimisers=[optimiser],
            schedules=[one_cycle(optimiser, plan.rate, plan.answer_epochs * -(-len(fused.vector) // BATCH))],
            batches=lambda: shuffled(len(fused.vector), BATCH, bench.rng),
            loss=loss,
            judge=lambda: mean_figures([losses(known, answers)]),
            patience=plan.patience,
        )
    )


@torch.no_grad()
def seen(bench: Bench, examples: Ready) -> tuple[Fused, Labels]:
    """Every event LOOKS times as the fusion leaves it, in training's disguises."""
    model, rng = bench.model, np.random.default_rng(bench.plan.seed)  # of its own: a resumed training sees the same
    prepare = preparation(model)
    fused, labels = [], []
    for given in [each for _ in range(LOOKS) for each in examples]:
        example, encoding = disguised(model, prepare, *given, salt=int(rng.integers(1, 2**63)))
        drop = torch.from_numpy(rng.random((len(example.features), len(MODALITIES))) < HIDDEN)
        fused.append(short(model(*encoding, drop.to(device_of(model))).fused))
        labels.append(labels_of(model, example))
    return joined(fused), joined(labels)


@torch.no_grad()
def told(bench: Bench, valid: Ready) -> tuple[Fused, Labels]:
    """The events to choose by, as they are."""
    model = bench.model
    fused = [short(model(*encoding).fused) for _, encoding in valid]
    return joined(fused), joined([labels_of(model, example) for example, _ in valid])


def short(fused: Fused) -> Fused:
    """Without what these heads never read: there are many events."""
    return fused._replace(opinion=fused.opinion[:, :0], items=fused.items[:, :0])


def joined(parts: list[Rows]) -> Rows:
    """One after the other."""
    return type(parts[0])(*map(torch.cat, zip(*parts, strict=True)))


def taken(rows: Rows, at: Tensor) -> Rows:
    """Some of them."""
    return type(rows)(*(column[at] for column in rows))
