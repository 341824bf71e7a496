"""Behaviour and words of a dialog together: the product's gated fusion, and plain concatenation to compare with."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from encoders.behavior import STATE
from encoders.protocol import VECTOR
from fusion.dialog_behavior import BEHAVIOR, dialog_loss
from fusion.heads.protocol import FUSED
from fusion.model import SLOTS, Fusion, Slots

HIDE_TEXT, HIDE_BEHAVIOR, HIDE_NOTHING = (False, True), (True, False), (False, False)
"""(behaviour hidden, text hidden)."""


@dataclass(frozen=True)
class Cases:
    """n turns as every model may see them; what is not known of a turn is zero and marked by whoever hides it."""

    dialog: Tensor  # (n,) int64
    turn: Tensor  # (n,) float32
    behavior: Tensor  # (n, 192) of the behaviour encoder
    said: Tensor  # (n, j) of the customer's words up to here
    answered: Tensor  # (n, k) of the shop's
    tokens: Tensor  # (n, t) int64 last words of both, 0 padded: what the worked example reads instead
    counts: Tensor  # (n, c) float32 plain behaviour: what its dense layer reads
    next_action: Tensor  # (n,) int64
    cart: Tensor  # (n,) float32

    def __len__(self) -> int:
        return len(self.dialog)

    def take(self, rows: Tensor) -> Cases:
        """Some of them."""
        return Cases(*(getattr(self, field.name)[rows] for field in fields(self)))


class Sizes(NamedTuple):
    """How wide the cases are."""

    said: int
    answered: int
    actions: int
    tokens: int  # vocabulary with 0
    counts: int

    @staticmethod
    def of(cases: Cases, *, actions: int, vocabulary: int) -> Sizes:
        """Of these cases."""
        return Sizes(cases.said.shape[1], cases.answered.shape[1], actions, vocabulary, cases.counts.shape[1])


class DialogModel(nn.Module):
    """What the variants share: two text vectors, then `mixed` into one vector, then both predictions."""

    def __init__(self, sizes: Sizes, *, hide_words: float) -> None:
        super().__init__()
        self.said, self.answered = nn.Linear(sizes.said, VECTOR), nn.Linear(sizes.answered, VECTOR)
        self.hide_words = nn.Dropout(hide_words)
        self.hide_fused = nn.Dropout(0.3)
        self.out = nn.Linear(FUSED, sizes.actions + 1)

    def forward(self, cases: Cases, hidden: Tensor) -> Tensor:
        """(n, actions + 1) raw; `hidden` (n, 2) takes behaviour or text away."""
        said = torch.tanh(self.said(self.hide_words(cases.said)))
        answered = torch.tanh(self.answered(self.hide_words(cases.answered)))
        behavior, text = ~hidden[:, 0], ~hidden[:, 1]
        present = torch.stack([behavior, behavior, text, text, torch.zeros_like(text)], -1)  # (n, 5)
        views = [cases.behavior[:, :STATE], cases.behavior[:, STATE:], said, answered, torch.zeros_like(said)]
        values = [view * there[:, None] for view, there in zip(views, present.T, strict=True)]
        age = (torch.log1p(cases.turn) / 3)[:, None].expand(-1, len(SLOTS))
        meta = torch.stack([age, torch.ones_like(age)], -1) * present[..., None]
        raw: Tensor = self.out(self.hide_fused(self.mixed(Slots(values, present, meta))))
        return raw

    def mixed(self, slots: Slots) -> Tensor:
        """(n, 128)."""
        raise NotImplementedError


class Gated(DialogModel):
    """The product's fusion; the shop's words take the voice slot, the image slot stays absent."""

    def __init__(self, sizes: Sizes, *, hide_words: float) -> None:
        super().__init__(sizes, hide_words=hide_words)
        self.fusion = Fusion()

    def mixed(self, slots: Slots) -> Tensor:
        """(n, 128)."""
        return self.fusion(slots)[0]  # type: ignore[no-any-return]


class Concatenated(DialogModel):
    """The same vectors and facts side by side through two dense layers."""

    def __init__(self, sizes: Sizes, *, hide_words: float) -> None:
        super().__init__(sizes, hide_words=hide_words)
        self.dense = nn.Linear(BEHAVIOR + 2 * VECTOR + 8, FUSED)
        self.again = nn.Linear(FUSED, FUSED)

    def mixed(self, slots: Slots) -> Tensor:
        """(n, 128)."""
        beside = torch.cat([*slots.values[:4], slots.meta[:, :4].flatten(1)], -1)
        vector: Tensor = self.again(F.gelu(self.dense(beside)))
        return vector


class WorkedExample(nn.Module):
    """The classic tutorial: embedding + LSTM over words, dense over behaviour, concatenated, sigmoid/softmax."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.embedding = nn.Embedding(sizes.tokens, 32, padding_idx=0)
        self.lstm = nn.LSTM(32, VECTOR, batch_first=True)
        self.dense = nn.Linear(sizes.counts, VECTOR)
        self.hidden = nn.Linear(2 * VECTOR, VECTOR)
        self.drop = nn.Dropout(0.3)
        self.out = nn.Linear(VECTOR, sizes.actions + 1)

    def forward(self, cases: Cases, hidden: Tensor) -> Tensor:
        """(n, actions + 1) raw; what is hidden is zero."""
        text = torch.zeros(len(cases), VECTOR)
        read = torch.nonzero(~hidden[:, 1]).squeeze(-1)
        if len(read):
            words, _ = self.lstm(self.drop(self.embedding(cases.tokens[read])))  # (m, t, 64), padded on the left
            text = text.index_copy(0, read, words[:, -1])
        behavior = torch.relu(self.dense(cases.counts)) * ~hidden[:, :1]
        both = torch.relu(self.hidden(torch.cat([text, behavior], -1)))
        raw: Tensor = self.out(self.drop(both))
        return raw


@dataclass(frozen=True)
class DialogPlan:
    """How long and how fast to learn; the same for every variant."""

    epochs: int = 8
    rate: float = 2e-3
    decay: float = 0.1
    dialogs: int = 64  # per batch
    silent: int = 128  # dialogs without words beside them
    hide: float = 0.2  # of the cases each modality alone, where modalities are hidden while learning
    alone: float = 0.5  # weight of answering from one modality
    hide_words: float = 0.5
    seed: int = 0


class Variant(NamedTuple):
    """One way to answer from two modalities."""

    kind: type[DialogModel] | type[WorkedExample]
    sees: tuple[bool, bool] = HIDE_NOTHING  # what is hidden always
    dropout: bool = False  # hide modalities while learning
    steps: int = 1  # batches are so many times smaller: what learns words from nothing needs more steps


class Answers(NamedTuple):
    """Probabilities."""

    action: NDArray[np.float64]  # (n, actions) of the next action
    cart: NDArray[np.float64]  # (n,) of an add-to-cart in the next turn


VARIANTS = {
    "behavior": Variant(Gated, HIDE_TEXT),
    "text": Variant(Gated, HIDE_BEHAVIOR),
    "concat": Variant(WorkedExample, steps=4),
    "concat_same_encoders": Variant(Concatenated),
    "gated": Variant(Gated, dropout=True),
}


def learn_dialogs(cases: Cases, silent: Cases, sizes: Sizes, *, variant: Variant, plan: DialogPlan) -> nn.Module:
    """A model of these cases and, where it sees behaviour, of as many without words."""
    torch.manual_seed(plan.seed)
    rng = np.random.default_rng(plan.seed)
    kind = variant.kind
    model = WorkedExample(sizes) if kind is WorkedExample else kind(sizes, hide_words=plan.hide_words)  # type: ignore[call-arg]
    optimiser = torch.optim.AdamW(model.parameters(), lr=plan.rate, weight_decay=plan.decay)
    known, unsaid = by_dialog(cases), by_dialog(silent)
    size, extra_size = -(-plan.dialogs // variant.steps), min(-(-plan.silent // variant.steps), len(unsaid))
    steps = plan.epochs * -(-len(known) // size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, total_steps=steps)
    for _ in range(plan.epochs):
        order = rng.permutation(len(known))
        for at in range(0, len(order), size):
            batch = cases.take(torch.cat([known[i] for i in order[at : at + size]]))
            loss = torch.stack([w * case_loss(model, batch, h) for w, h in masks(len(batch), variant, plan)]).sum()
            if variant.sees != HIDE_BEHAVIOR:
                chosen = rng.choice(len(unsaid), extra_size, replace=False)
                extra = silent.take(torch.cat([unsaid[i] for i in chosen]))
                loss = loss + case_loss(model, extra, everywhere(HIDE_TEXT, len(extra)))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
    return model.eval()


def masks(n: int, variant: Variant, plan: DialogPlan) -> list[tuple[float, Tensor]]:
    """What to hide (n, 2) in each pass over a batch, and how much the pass counts."""
    if not variant.dropout:
        return [(1.0, everywhere(variant.sees, n))]
    chance = torch.rand(n)
    some = torch.stack([chance < plan.hide, (chance >= plan.hide) & (chance < 2 * plan.hide)], -1)
    return [(1.0, some), (plan.alone, everywhere(HIDE_TEXT, n)), (plan.alone, everywhere(HIDE_BEHAVIOR, n))]


def everywhere(hidden: tuple[bool, bool], n: int) -> Tensor:
    """(n, 2) the same for every case."""
    return torch.tensor([hidden]).expand(n, 2)


def case_loss(model: nn.Module, cases: Cases, hidden: Tensor) -> Tensor:
    """Both tasks at once."""
    return dialog_loss(model(cases, hidden), cases.next_action, cases.cart)


def by_dialog(cases: Cases) -> list[Tensor]:
    """The rows of each dialog."""
    ends = np.flatnonzero(np.diff(cases.dialog.numpy())) + 1
    return [torch.from_numpy(rows) for rows in np.split(np.arange(len(cases)), ends)]


def answers(model: nn.Module, cases: Cases, hidden: tuple[bool, bool]) -> Answers:
    """What a model says where this is hidden."""
    with torch.no_grad():
        raw = model(cases, everywhere(hidden, len(cases)))
    return Answers(raw[:, :-1].softmax(-1).double().numpy(), torch.sigmoid(raw[:, -1]).double().numpy())
