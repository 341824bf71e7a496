"""The text encoder and the sentiment head: how texts feel, and which texts are about the same."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from encoders.protocol import VECTOR, quantised
from encoders.text import Bags, TextEncoder
from fusion.heads.protocol import FUSED, Fused
from fusion.inputs import moved
from fusion.material import Texts
from fusion.model import FusedModel
from fusion.rhythm import RHYTHM
from fusion.training.bench import Bench, shuffled
from fusion.training.descent import Stage
from fusion.training.encoding import device_of

BATCH = 256
FORGOTTEN = 0.3
"""Share of the tokens that are trusted not at all while learning, so that no single one decides."""
SLOWER = 0.6
"""What is left of the rate after each epoch."""


def learn_words(bench: Bench, texts: Texts, valid: Texts) -> None:
    """Feelings where they are known, and topics beside them."""
    model, plan, device = bench.model, bench.plan, device_of(bench.model)
    topics = nn.Linear(VECTOR, max(int(texts.topic.max(initial=-1)) + 1, 1)).to(device)
    sentiment = model.head("sentiment")
    table = [model.text.table.weight] if isinstance(model.text, TextEncoder) else []
    dense = [
        *(p for p in model.text.parameters() if p.requires_grad and not any(p is each for each in table)),
        *model.heads["sentiment"].parameters(),
        *topics.parameters(),
    ]
    optimisers: list[torch.optim.Optimizer] = [torch.optim.Adam(dense, lr=plan.text_rate / 2)]
    if table:
        optimisers.append(torch.optim.SparseAdam(table, lr=plan.text_rate))
    epoch_steps = -(-len(texts) // BATCH)
    weight = class_weights(texts.sentiment).to(device)

    def loss(chosen: NDArray[np.int64]) -> Tensor:
        prepared = model.text.prepare(texts.text[chosen].tolist())
        if isinstance(prepared, Bags):
            prepared = without_some(prepared, FORGOTTEN)
        vector = model.text(moved(prepared, device)).vector
        raw = sentiment(spoken(vector))
        feeling, topic = (torch.from_numpy(label[chosen]).to(device) for label in (texts.sentiment, texts.topic))
        return cross_entropy(raw[:, :3], feeling, weight) + 0.3 * cross_entropy(topics(vector), topic)

    def judge() -> dict[str, float]:
        known = valid.take(valid.sentiment >= 0)
        scores = feelings(model, known.text)
        right = (scores.argmax(1).numpy() == known.sentiment).mean()
        valid_loss = cross_entropy(torch.log(scores), torch.from_numpy(known.sentiment)).item()
        return {"valid_loss": valid_loss, "valid_accuracy": float(right)}

    if table:
        model.text.sparse = True
    bench.descend(
        Stage(
            name="words",
            epochs=plan.text_epochs,
            modules=[model.text, model.heads["sentiment"], topics],
            optimisers=optimisers,
            schedules=[LambdaLR(o, lambda step: SLOWER ** (step // epoch_steps)) for o in optimisers],
            batches=lambda: shuffled(len(texts), BATCH, bench.rng),
            loss=loss,
            judge=judge,
            patience=plan.patience,
        )
    )
    if table:
        model.text.sparse = False


def feelings(model: FusedModel, texts: NDArray[np.object_]) -> Tensor:
    """(n, 3) calibrated probabilities of negative, neutral, positive, on the CPU."""
    with torch.no_grad():
        head = model.head("sentiment")
        return head.columns(head(spoken(text_vectors(model, texts))))["scores"].cpu()


def text_vectors(model: FusedModel, texts: NDArray[np.object_]) -> Tensor:
    """(n, 64), as they are carried."""
    device = device_of(model)
    parts = [model.text.prepare(texts[i : i + 512].tolist()) for i in range(0, len(texts), 512)]
    with torch.no_grad():
        return quantised(torch.cat([model.text(moved(part, device)).vector for part in parts]))


def spoken(vector: Tensor) -> Fused:
    """Text vectors as if each had just been said; nothing else is known."""
    n = len(vector)
    present = torch.ones(n, dtype=torch.bool, device=vector.device)
    nothing = (torch.zeros_like(vector), vector.new_zeros(n, RHYTHM), present.long() * 0)
    return Fused(vector.new_zeros(n, FUSED), vector, present, *nothing)


def cross_entropy(logits: Tensor, label: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean over the known labels (not -1); 0 where there are none."""
    known = label >= 0
    if not bool(known.any()):
        return logits.sum() * 0
    return F.cross_entropy(logits[known], label[known], weight)


def class_weights(label: NDArray[np.int64]) -> Tensor:
    """Rare feelings count more, by the root of how rare they are."""
    share = np.bincount(label[label >= 0], minlength=3) / max((label >= 0).sum(), 1)
    return torch.from_numpy((share.clip(1e-3) * 3) ** -0.5).float()


def without_some(bags: Bags, share: float) -> Bags:
    """Some tokens trusted not at all."""
    return bags._replace(trust=bags.trust * (torch.rand(len(bags.trust)) >= share))
