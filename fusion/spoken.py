"""What a spoken command is about: the voice encoder with one linear head per question, taught with misheard words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from encoders.protocol import VECTOR
from encoders.text import TextEncoder
from encoders.voice import Heard, Utterances, VoiceEncoder
from fusion.noise import Recogniser

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class SpokenPlan:
    """How long and how fast to learn."""

    epochs: int = 16
    batch: int = 32
    table_rate: float = 1e-2
    rate: float = 2e-3
    unheard: float = 0.3  # share of the tokens left out
    unsure: float = 0.5  # share of the transcripts that come without confidences
    smoothing: float = 0.1
    noise: bool = True
    seed: int = 0


class SpokenModel(nn.Module):
    """`answers`: how many there are to each question."""

    def __init__(self, answers: Mapping[str, int]) -> None:
        super().__init__()
        self.voice = VoiceEncoder(TextEncoder())
        self.heads = nn.ModuleDict({name: nn.Linear(VECTOR, count) for name, count in answers.items()})

    def forward(self, heard: Heard) -> dict[str, Tensor]:
        """Logits (n, answers) per question."""
        vector = self.voice(heard).vector
        return {name: head(vector) for name, head in self.heads.items()}

    def answer(self, track: Utterances) -> dict[str, NDArray[np.float32]]:
        """Probabilities (n, answers) per question."""
        with torch.no_grad():
            return {name: raw.softmax(-1).numpy() for name, raw in self(self.voice.prepare(track)).items()}


def learn_spoken(
    texts: Sequence[str], labels: Mapping[str, Labels], *, plan: SpokenPlan, done: Callable[[], None]
) -> SpokenModel:
    """From true words (n,) and the numbers of their answers (n,) per question; `done` is called after each epoch."""
    torch.manual_seed(plan.seed)
    rng = np.random.default_rng(plan.seed)
    model = SpokenModel({name: int(label.max()) + 1 for name, label in labels.items()})
    said = np.array(texts, object)
    recogniser = Recogniser(texts)
    text = model.voice.text
    text.sparse = True
    table = [text.table.weight]
    dense = [p for p in model.parameters() if p is not table[0]]
    optimisers: list[torch.optim.Optimizer] = [
        torch.optim.SparseAdam(table, lr=plan.table_rate),
        torch.optim.Adam(dense, lr=plan.rate),
    ]
    steps = plan.epochs * -(-len(said) // plan.batch)
    schedules = [torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.01, steps) for o in optimisers]
    for _ in range(plan.epochs):
        order = rng.permutation(len(said))
        for start in range(0, len(order), plan.batch):
            chosen = order[start : start + plan.batch]
            heard = model.voice.prepare(as_heard(said[chosen].tolist(), recogniser, plan=plan, rng=rng))
            left = (torch.rand(len(heard.bags.trust)) >= plan.unheard).float()
            raw = model(heard._replace(bags=heard.bags._replace(trust=heard.bags.trust * left)))
            losses = [
                F.cross_entropy(raw[name], torch.from_numpy(label[chosen]), label_smoothing=plan.smoothing)
                for name, label in labels.items()
            ]
            for optimiser in optimisers:
                optimiser.zero_grad()
            torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
            for optimiser, schedule in zip(optimisers, schedules, strict=True):
                optimiser.step()
                schedule.step()
        done()
    text.sparse = False
    return model.eval()


def as_heard(texts: list[str], recogniser: Recogniser, *, plan: SpokenPlan, rng: np.random.Generator) -> Utterances:
    """Training texts through the recogniser, if so planned, some without its confidences."""
    if not plan.noise:
        return unsure(texts)
    heard = recogniser(texts, rng)
    hidden = rng.random(len(texts)) < plan.unsure
    each = [None if hide else sure for hide, sure in zip(hidden, heard.word_confidence, strict=True)]
    return Utterances(heard.text, np.where(hidden, np.nan, heard.confidence).astype(np.float32), each)


def unsure(texts: Sequence[str | None]) -> Utterances:
    """Transcripts of which the recogniser said nothing more."""
    return Utterances(list(texts), np.full(len(texts), np.nan, np.float32), [None] * len(texts))
