"""Probabilities that mean what they say, whichever modalities are there; fitted on what was not learned from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from fusion.heads.binary import Binary
from fusion.heads.protocol import MASKS
from fusion.masks import shown
from fusion.material import Example, Texts
from fusion.model import FusedModel
from fusion.training.encoding import encoded, labels_of, preparation
from fusion.training.words import cross_entropy, spoken, text_vectors

BINARY = ("purchase", "churn", "anomaly")
TEMPERATURES = torch.logspace(-0.6, 0.6, 61)
ENOUGH, ENOUGH_OF_EACH = 400, 25
"""Labels of a mask, and of either kind, from which it is calibrated by the events that have it; with fewer, events
from which modalities were hidden help."""
STRIDE = 3
"""Of the events, every so many-th is used with modalities hidden."""
BELIEF = 1000.0
"""How strongly the fit of one mask is drawn to the fit over all: log loss of so many events per squared distance.

That many because a user's events say much the same: chosen by log loss on users left out of the fit.
"""


def calibrate(model: FusedModel, examples: Sequence[Example], texts: Texts) -> None:
    """A temperature for the softmax heads, a slope and a shift per mask for the yes-or-no heads, by least log loss."""
    with torch.no_grad():
        answers, pools = gathered(model, examples)
        labels = torch.cat([labels_of(model, example).next_action for example in examples])
        coolest(model, "next_action", answers, labels)
        device = labels.device
        raw = model.head("sentiment")(spoken(text_vectors(model, texts.text)))[:, :3]
        coolest(model, "sentiment", raw, torch.from_numpy(texts.sentiment).to(device))
    for name in BINARY:
        fit(model.heads[name], pools[name])  # type: ignore[arg-type]  # they are Binary


class Pool:
    """Raw answers of one head with their masks and labels: of events as they came, then of robbed ones."""

    def __init__(self) -> None:
        self.own: list[tuple[Tensor, Tensor, Tensor]] = []
        self.robbed: list[tuple[Tensor, Tensor, Tensor]] = []

    def of(self, mask: int | None) -> tuple[Tensor, Tensor]:
        """Answers and labels of a mask, or of all events as they came."""
        raw, at, label = (torch.cat(parts) for parts in zip(*self.own, strict=True))
        if mask is None:
            return raw, label
        raw, label = raw[at == mask], label[at == mask]
        if len(label) >= ENOUGH and min(label.sum(), (1 - label).sum()) >= ENOUGH_OF_EACH:
            return raw, label
        more, where, known = (torch.cat(parts) for parts in zip(*self.robbed, strict=True))
        return torch.cat([raw, more[where == mask]]), torch.cat([label, known[where == mask]])


def gathered(model: FusedModel, examples: Sequence[Example]) -> tuple[Tensor, dict[str, Pool]]:
    """Raw next actions of all events, and the pools of the yes-or-no heads."""
    prepare = preparation(model)
    pools = {name: Pool() for name in BINARY}
    actions: list[Tensor] = []
    for example in examples:
        output = model(*encoded(model, prepare, example))
        actions.append(output.raw["next_action"])
        every = torch.arange(0, len(example.features), STRIDE)
        robbed = [shown(model, output, code, every) for code in range(1, MASKS - 1)]
        for name in BINARY:
            label = torch.from_numpy(getattr(example.outcomes, name)).to(actions[0].device)
            known = ~label.isnan()
            pool = pools[name]
            pool.own.append((output.raw[name][known], output.fused.mask[known], label[known]))
            for rows, fused in robbed:
                at = known[rows]
                pool.robbed.append((model.head(name)(fused)[at], fused.mask[at], label[rows][at]))
    return torch.cat(actions), pools


def fit(head: Binary, pool: Pool) -> None:
    """First one slope and shift for all masks, then each mask's own, drawn towards it."""
    common = fitted(head, *pool.of(None), prior=torch.zeros(2), belief=1.0)
    for mask in range(MASKS):
        own = fitted(head, *pool.of(mask), prior=common, belief=BELIEF)
        head.slope[mask], head.shift[mask] = own[0].exp(), own[1]


def fitted(head: Binary, raw: Tensor, label: Tensor, *, prior: Tensor, belief: float) -> Tensor:
    """(2,) log slope and shift of least log loss plus `belief` squared distances from the prior."""
    if not len(label):
        return prior
    prior = prior.to(raw.device)
    chosen = prior.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([chosen], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        score = head.columns(head.moved(raw, chosen[0].exp(), chosen[1]))["score"].clamp(1e-6, 1 - 1e-6)
        loss = F.binary_cross_entropy(score, label) + belief / len(label) * (chosen - prior).square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return chosen.detach()


def coolest(model: FusedModel, name: str, raw: Tensor, label: Tensor) -> None:
    """Set a softmax head's temperature to the one with the least loss."""
    losses = torch.stack([cross_entropy(raw / t, label) for t in TEMPERATURES])
    model.heads[name].get_buffer("temperature").copy_(TEMPERATURES[int(losses.argmin())])
