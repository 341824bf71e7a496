"""Behaviour, fusion and their heads from what users did: first without labels, then all tasks at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encoders.protocol import VECTOR
from fusion.heads.protocol import FUSED
from fusion.material import Example
from fusion.model import MODALITIES, FusedModel, Output, recalled
from fusion.training.bench import Bench, one_cycle
from fusion.training.descent import Judge, Stage
from fusion.training.encoding import Encoding, device_of, disguised, encoded, labels_of, preparation

WEIGHTS = {"purchase": 1.0, "churn": 1.0, "next_action": 1.0, "recommendations": 0.3, "anomaly": 0.5}
NEXT_EVENT = ("next_action", "recommendations")
HIDDEN = 0.15
"""Share of the events from which each modality is hidden while learning."""
GUESSED = MODALITIES[1:]
"""Modalities whose vectors stand still, so that they can be guessed from the others."""

Ready = Sequence[tuple[Example, Encoding]]


def ready(model: FusedModel, examples: Sequence[Example]) -> Ready:
    """Examples with what the frozen encoders make of them."""
    prepare = preparation(model)
    return [(example, encoded(model, prepare, example)) for example in examples]


def pretrain(bench: Bench, examples: Ready, valid: Ready) -> None:
    """Without any label: what comes next, and what a hidden modality would have said.

    Every event loses one modality by chance; its vector is guessed from the others (after Devlin 2018, "BERT",
    arXiv 1810.04805, with modalities for words).
    """
    model, device = bench.model, device_of(bench.model)
    prepare = preparation(model)
    guess = nn.ModuleList(nn.Linear(FUSED, VECTOR) for _ in GUESSED).to(device)

    def losses(example: Example, encoding: Encoding, hidden: Tensor) -> dict[str, Tensor]:
        hidden = hidden.to(device)
        output = model(*encoding, F.one_hot(hidden, len(MODALITIES)).bool())
        labels = labels_of(model, example)
        found = {name: WEIGHTS[name] * model.head(name).loss(output.raw[name], labels) for name in NEXT_EVENT}
        found["masked_modality"] = guessing_loss(guess, output, encoding, hidden)
        return found

    def loss(number: int) -> Tensor:
        salt = int(bench.rng.integers(1, 2**63))
        example, encoding = disguised(model, prepare, *examples[number], salt=salt)
        hidden = torch.from_numpy(bench.rng.integers(0, len(MODALITIES), len(example.features)))
        return sum_of(losses(example, encoding, hidden))

    def judge() -> dict[str, float]:
        found = [losses(*each, torch.arange(len(each[0].features)) % len(MODALITIES)) for each in valid]
        return mean_figures(found)

    epochs = bench.plan.pretraining_epochs
    bench.descend(sequence_stage(bench, "pretraining", epochs, examples, loss, judge, (guess,)))


def learn_sequences(bench: Bench, examples: Ready, valid: Ready) -> None:
    """All tasks at once, modalities hidden by chance; early stopping on users that were not learned from."""
    model, device = bench.model, device_of(bench.model)
    prepare = preparation(model)

    def loss(number: int) -> Tensor:
        salt = int(bench.rng.integers(1, 2**63))
        example, encoding = disguised(model, prepare, *examples[number], salt=salt)
        drop = torch.from_numpy(bench.rng.random((len(example.features), len(MODALITIES))) < HIDDEN)
        return sum_of(head_losses(model, model(*encoding, drop.to(device)), example))

    def judge() -> dict[str, float]:
        return mean_figures([head_losses(model, model(*encoding), example) for example, encoding in valid])

    bench.descend(sequence_stage(bench, "sequences", bench.plan.epochs, examples, loss, judge))


def sequence_stage(
    bench: Bench,
    name: str,
    epochs: int,
    examples: Ready,
    loss: Callable[[int], Tensor],
    judge: Judge,
    extra: tuple[nn.Module, ...] = (),
) -> Stage:
    """AdamW under one cycle."""
    model, rate = bench.model, bench.plan.rate
    modules = [model.behavior, model.fusion, model.heads, *extra]
    learned = [p for module in modules for p in module.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learned, lr=rate, weight_decay=0.01)
    turns = balanced([example for example, _ in examples])
    return Stage(
        name=name,
        epochs=epochs,
        modules=modules,
        optimisers=[optimiser],
        schedules=[one_cycle(optimiser, rate * 2, epochs * len(turns))],
        batches=lambda: bench.rng.permutation(turns).tolist(),
        loss=loss,
        judge=judge,
        patience=bench.plan.patience,
        clip=1.0,
    )


def balanced(examples: Sequence[Example]) -> list[int]:
    """Whose turn it is in an epoch: recorded people as often, all together, as the invented, of whom there are more.

    Nobody says which of the recorded are bots; by that they are told apart.
    """
    recorded = [bool(np.isnan(example.outcomes.anomaly).all()) for example in examples]
    times = max((len(examples) - sum(recorded)) // max(sum(recorded), 1), 1)
    return [number for number, real in enumerate(recorded) for _ in range(times if real else 1)]


def guessing_loss(guess: nn.ModuleList, output: Output, encoding: Encoding, hidden: Tensor) -> Tensor:
    """One minus the cosine between a hidden modality's vector and what the fused vector makes of the others."""
    inputs, fresh = encoding
    parts, count = [], 0
    for number, (name, linear) in enumerate(zip(GUESSED, guess, strict=True), 1):
        held = recalled(inputs.memories[name], fresh[name])
        at = torch.nonzero(held.present & (hidden == number)).squeeze(1)
        parts.append((1 - F.cosine_similarity(linear(output.fused.vector[at]), held.vector[at], dim=-1)).sum())
        count += len(at)
    return torch.stack(parts).sum() / max(count, 1)


def head_losses(model: FusedModel, output: Output, example: Example) -> dict[str, Tensor]:
    """The weighted loss of every head that learns from sequences."""
    labels = labels_of(model, example)
    return {name: weight * model.head(name).loss(output.raw[name], labels) for name, weight in WEIGHTS.items()}


def sum_of(losses: Mapping[str, Tensor]) -> Tensor:
    """One loss of all."""
    return torch.stack(list(losses.values())).sum()


def mean_figures(losses: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
    """The mean of each loss over examples, and of their sum as `valid_loss`."""
    if not losses:
        return {}
    mean = {name: torch.stack([each[name] for each in losses]).mean().item() for name in losses[0]}
    return {"valid_loss": sum(mean.values()), **mean}
