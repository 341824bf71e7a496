"""Examples as tensors, by the scorer's own way from features to inputs."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from fusion.heads.protocol import Labels
from fusion.inputs import Inputs, Preparation
from fusion.material import Example, salted
from fusion.model import FusedModel

Encoding = tuple[Inputs, dict[str, Tensor]]
"""Inputs, and what the frozen encoders make of their texts, voices and images."""


def device_of(model: FusedModel) -> torch.device:
    """Where the weights are."""
    return model.fusion.out.weight.device


def preparation(model: FusedModel) -> Preparation:
    """For the model's own vocabulary."""
    actions = model.config.actions
    return Preparation(model.text, model.voice, model.image, model.behavior, known=actions, actions=actions)


def encoded(model: FusedModel, prepare: Preparation, example: Example) -> Encoding:
    """An example on the model's device."""
    inputs, _ = prepare(example.features)
    inputs = inputs.to(device_of(model))
    with torch.no_grad():
        return inputs, model.encode(inputs)


def disguised(
    model: FusedModel, prepare: Preparation, example: Example, encoding: Encoding, *, salt: int
) -> tuple[Example, Encoding]:
    """The same with other ids; texts, voices and images need no encoding again."""
    other = salted(example, salt)
    steps = replace(encoding[0], steps=model.behavior.prepare(prepare.acts(other.features))).to(device_of(model))
    return other, (steps, encoding[1])


def labels_of(model: FusedModel, example: Example) -> Labels:
    """What became of an example's events, on the model's device."""
    return Labels(*(label.to(device_of(model)) for label in example.outcomes.labels()))
