"""How far to trust words heard with little confidence: stay near what was said, whatever was misheard."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from encoders.voice import Utterances
from fusion.inputs import moved
from fusion.material import Texts
from fusion.training.bench import Bench, shuffled
from fusion.training.descent import Stage
from fusion.training.encoding import device_of

LONGEST, MOST = 120, 12_000
"""Characters of a text that could be said at once, and how many such texts are enough."""


def learn_voices(bench: Bench, texts: Texts) -> None:
    """The voice encoder's own weights; the words are the text encoder's."""
    voice, text, device = bench.model.voice, bench.model.text, device_of(bench.model)
    short = texts.take(np.flatnonzero([len(text) < LONGEST for text in texts.text]))
    vocabulary = [word for text in short.text[:2000] for word in text.split()]

    def loss(chosen: NDArray[np.int64]) -> Tensor:
        said = short.text[chosen].tolist()
        heard = voice(moved(voice.prepare(misheard(said, vocabulary, bench.rng)), device)).vector
        with torch.no_grad():
            clean = text(moved(text.prepare(said), device)).vector
        return F.mse_loss(heard, clean)

    text.eval()
    bench.descend(
        Stage(
            name="voice",
            epochs=bench.plan.voice_epochs,
            modules=[voice],
            optimisers=[torch.optim.Adam([voice.gamma, *voice.manner.parameters()], lr=5e-3)],
            batches=lambda: shuffled(min(len(short), MOST), 256, bench.rng),
            loss=loss,
            judge=lambda: {"gamma": float(voice.gamma)},
        )
    )


def misheard(texts: Sequence[str], vocabulary: Sequence[str], rng: np.random.Generator) -> Utterances:
    """Texts as a recogniser with a word error rate of 0 to 40 % might hear them, with its confidences."""
    heard: list[str | None] = []
    sure: list[NDArray[np.float32] | None] = []
    for text in texts:
        words = text.split()
        wrong = rng.random(len(words)) < rng.random() * 0.4
        heard.append(
            " ".join(
                vocabulary[int(rng.integers(len(vocabulary)))] if w else word
                for word, w in zip(words, wrong, strict=True)
            )
        )
        sure.append(np.where(wrong, rng.beta(4, 4, len(words)), rng.beta(14, 1.5, len(words))).astype(np.float32))
    whole = np.array([each.mean() if each is not None and len(each) else 0.8 for each in sure], np.float32)
    return Utterances(heard, whole, sure)
