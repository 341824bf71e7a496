"""One text encoder learning on its own: texts and their classes, a linear read-out, one temperature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor, nn

from encoders.protocol import VECTOR
from fusion.descent import descend
from fusion.progress import shown

Texts = Sequence[str | None]
_SHARE_HELD_OUT = 0.1
_TEMPERATURES = torch.logspace(-0.6, 0.6, 61)


@dataclass(frozen=True)
class TextPlan:
    """How long and how fast to learn."""

    epochs: int = 4
    rate: float = 2e-3
    batch: int = 64
    seed: int = 0


class TextClassifier(nn.Module):
    """An encoder and a softmax over its vectors; texts that say nothing get the bias alone."""

    temperature: Tensor

    def __init__(self, encoder: nn.Module, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.out = nn.Linear(VECTOR, classes)
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, texts: Texts) -> Tensor:
        """(n, classes) logits."""
        logits: Tensor = self.out(self.encoder(self.encoder.prepare(texts)).vector)  # type: ignore[operator]
        return logits / self.temperature

    def probabilities(self, texts: Texts) -> NDArray[np.float32]:
        """(n, classes), in batches."""
        self.eval()
        with torch.no_grad():
            parts = [self(texts[i : i + 256]).softmax(-1) for i in range(0, len(texts), 256)]
        return torch.cat(parts).numpy() if parts else np.zeros((0, self.out.out_features), np.float32)


def learn_texts(
    encoder: nn.Module,
    texts: Texts,
    label: NDArray[np.int64],
    *,
    plan: TextPlan | None = None,
    console: Console | None = None,
) -> TextClassifier:
    """Train an encoder of TEXT_ENCODERS to tell classes 0..k-1; a tenth of the texts chooses epoch and temperature."""
    plan = plan or TextPlan()
    torch.manual_seed(plan.seed)
    rng = np.random.default_rng(plan.seed)
    model = TextClassifier(encoder, int(label.max()) + 1)
    order = rng.permutation(len(texts))
    held, learned = np.split(order, [max(1, int(len(texts) * _SHARE_HELD_OUT))])
    optimisers = _optimisers(model, plan.rate)
    steps = plan.epochs * -(-len(learned) // plan.batch)
    schedules = [torch.optim.lr_scheduler.LinearLR(each, 1.0, 0.05, steps) for each in optimisers]
    best, best_state = float("inf"), model.state_dict()
    for epoch in range(plan.epochs):
        model.train()
        shuffled = rng.permutation(learned)
        batches = [shuffled[i : i + plan.batch] for i in range(0, len(shuffled), plan.batch)]
        for chosen in shown(batches, f"texts {epoch + 1}", console):
            loss = F.cross_entropy(model([texts[i] for i in chosen]), torch.from_numpy(label[chosen]))
            descend(loss, optimisers, schedules)
        unseen = float(F.nll_loss(_logs(model, texts, held), torch.from_numpy(label[held])))
        if unseen < best:
            best, best_state = unseen, {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(best_state)
    logs, truth = _logs(model, texts, held), torch.from_numpy(label[held])
    losses = torch.stack([F.cross_entropy(logs / t, truth) for t in _TEMPERATURES])
    model.temperature.fill_(_TEMPERATURES[int(losses.argmin())])
    encoder.sparse = False  # type: ignore[assignment]
    return model.eval()


def _optimisers(model: TextClassifier, rate: float) -> list[torch.optim.Optimizer]:
    """Adam; the rows of a table that a batch does not read stay as they are, which is much faster."""
    tables = [module for module in model.encoder.modules() if isinstance(module, nn.Embedding)]
    if not tables:
        return [torch.optim.Adam(model.parameters(), lr=rate)]
    model.encoder.sparse = True  # type: ignore[assignment]
    rows = [table.weight for table in tables]
    dense = [p for p in model.parameters() if all(p is not row for row in rows)]
    return [torch.optim.SparseAdam(rows, lr=rate), torch.optim.Adam(dense, lr=rate)]


def _logs(model: TextClassifier, texts: Texts, chosen: NDArray[np.int64]) -> Tensor:
    """(m, classes) log probabilities."""
    return torch.from_numpy(model.probabilities([texts[i] for i in chosen])).clamp(min=1e-9).log()
