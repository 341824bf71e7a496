"""The whole training in its order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from fusion.material import Material
from fusion.model import FusedModel, ModelConfig
from fusion.training.answers import learn_answers
from fusion.training.bench import Bench
from fusion.training.calibration import calibrate
from fusion.training.journal import Journal
from fusion.training.photos import learn_photos
from fusion.training.plan import Plan
from fusion.training.saved import Saved
from fusion.training.segments import describe
from fusion.training.sequences import learn_sequences, pretrain, ready
from fusion.training.voices import learn_voices
from fusion.training.words import learn_words

ENCODERS = ("text", "voice", "image", "heads.sentiment")
"""What is learned from words and photos alone, and stands still afterwards."""


def train(
    material: Material,
    config: ModelConfig,
    *,
    plan: Plan,
    journal: Journal,
    saved: Saved | None = None,
    encoders: FusedModel | None = None,
    previous: FusedModel | None = None,
) -> FusedModel:
    """A model that has learned all that the material holds; the same seed gives the same model, on the CPU.

    `encoders`: a model whose text, voice and image encoders are taken instead of learned anew. `previous`: one whose
    segment ids are kept. With `saved`, a killed training goes on after its last epoch.
    """
    bench = started(config, plan, journal, saved or Saved())
    if encoders is None:
        learn_encoders(bench, material)
    else:
        adopt(bench.model, encoders)
    learned, valid = ready(bench.model, material.sequences), ready(bench.model, material.sequences_valid)
    pretrain(bench, learned, valid)
    learn_sequences(bench, learned, valid)
    learn_answers(bench, learned, valid)
    model = describe(bench.model.cpu(), material.sequences, plan=plan, previous=previous)
    calibrate(model, material.sequences_valid, material.texts_valid)
    bench.saved.finish()
    journal.draw()
    return model


def started(config: ModelConfig, plan: Plan, journal: Journal, saved: Saved) -> Bench:
    """A new model on its device, or the saved one."""
    torch.manual_seed(plan.seed)
    rng = np.random.default_rng(plan.seed)
    model = FusedModel(replace(config, segments=tuple(f"segment {n}" for n in range(plan.segments))))
    model.to(torch.device(plan.device))
    saved.begin(model, rng, plan, journal)
    return Bench(model, plan, rng, journal, saved)


def learn_encoders(bench: Bench, material: Material) -> None:
    """Words, voices and photos; then these encoders stand still."""
    learn_words(bench, material.texts, material.texts_valid)
    learn_voices(bench, material.texts)
    learn_photos(bench, material.photos, material.photos_valid)
    freeze(bench.model)


def adopt(model: FusedModel, encoders: FusedModel) -> None:
    """Take over another model's encoders as they are."""
    for name in ENCODERS:
        model.get_submodule(name).load_state_dict(encoders.get_submodule(name).state_dict())
    freeze(model)


def freeze(model: FusedModel) -> None:
    """The encoders learn no more."""
    parts: list[nn.Module] = [model.get_submodule(name) for name in ENCODERS]
    for part in parts:
        part.requires_grad_(False).eval()
