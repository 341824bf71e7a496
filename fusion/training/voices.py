"""How far to trust words heard with little confidence: stay near what was said, whatever was misheard."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fusion.inputs import moved
from fusion.material import Texts
from fusion.noise import Recogniser
from fusion.training.bench import Bench, shuffled
from fusion.training.descent import Stage
from fusion.training.encoding import device_of

LONGEST, MOST = 120, 12_000
"""Characters of a text that could be said at once, and how many such texts are enough."""


def learn_voices(bench: Bench, texts: Texts) -> None:
    """The voice encoder's own weights; the words are the text encoder's where that is static."""
    voice, text, device = bench.model.voice, bench.model.text, device_of(bench.model)
    short = texts.take(np.flatnonzero([len(text) < LONGEST for text in texts.text]))
    recogniser = Recogniser(short.text[:2000].tolist())

    def loss(chosen: NDArray[np.int64]) -> Tensor:
        said = short.text[chosen].tolist()
        heard = voice(moved(voice.prepare(recogniser(said, bench.rng)), device)).vector
        with torch.no_grad():
            clean = text(moved(text.prepare(said), device)).vector
        return F.mse_loss(heard, clean)

    own = [voice.gamma, *voice.manner.parameters()]
    if voice.text is not text:  # then its words have to learn what the text encoder makes of them
        own += voice.text.parameters()
    text.eval()
    bench.descend(
        Stage(
            name="voice",
            epochs=bench.plan.voice_epochs,
            modules=[voice],
            optimisers=[torch.optim.Adam(own, lr=5e-3)],
            batches=lambda: shuffled(min(len(short), MOST), 256, bench.rng),
            loss=loss,
            judge=lambda: {"gamma": float(voice.gamma)},
        )
    )
