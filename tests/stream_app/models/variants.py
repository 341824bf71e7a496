"""Artefacts for tests: the shipped model with something changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fusion.checkpoint import load_checkpoint, save_checkpoint
from fusion.model import FusedModel
from fusion.scorer import ARTEFACT
from stream_app.models.change import Artefact

Change = Callable[[FusedModel], None]


def variant(folder: Path, name: str, change: Change | None = None, **config: Any) -> Artefact:
    """`folder/name.safetensors`: the shipped weights under another configuration, then changed."""
    folder.mkdir(parents=True, exist_ok=True)
    shipped = load_checkpoint(ARTEFACT).model
    model = FusedModel(replace(shipped.config, **{"version": name, **config}))
    ours = model.state_dict()
    kept = {key: value for key, value in shipped.state_dict().items() if value.shape == ours[key].shape}
    model.load_state_dict(kept, strict=False)
    with torch.no_grad():
        if change is not None:
            change(model)
    path = folder / f"{name}.safetensors"
    return Artefact(digest=save_checkpoint(model.eval(), path), path=path.name)


def other_heads(model: FusedModel) -> None:
    """Answers otherwise, carries users alike."""
    for parameter in model.heads["purchase"].parameters():
        parameter.mul_(0.5)


def other_encoders(model: FusedModel) -> None:
    """Carries users otherwise."""
    for parameter in model.behavior.parameters():
        parameter.mul_(0.9)


def foolish(model: FusedModel) -> None:
    """Believes that people do what nobody does: the order of its next actions is turned round."""
    for parameter in model.heads["next_action"].parameters():
        parameter.copy_(-4 * parameter)
