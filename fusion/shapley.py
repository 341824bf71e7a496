"""How much each modality moved the answer: exact Shapley values over the present ones.

Shapley 1953, "A value for n-person games"; Lundberg and Lee 2017, "A unified approach to interpreting model
predictions" (arXiv 1705.07874): importance is the sum of the values' magnitudes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from math import factorial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoders.tensors import fetched
from fusion.heads.protocol import MASKS, Columns, Fused, Head
from fusion.model import MODALITIES, SLOT_MODALITY, Answers, FusedModel, Fusion, Seen, Views, mask_of
from fusion.shapley_kernel import divide

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

ANSWERS = ("purchase", "churn", "next_action", "sentiment", "anomaly")
"""The heads whose probabilities are divided among the modalities."""
TEXT, VOICE = MODALITIES.index("text"), MODALITIES.index("voice")
AT_ONCE = 2_048
"""Coalitions of one call on a CPU: more of them make arrays so large that each is mapped anew."""
TRACE = 1e-9
"""Of every present modality, so that one which moves nothing is still listed, and all of them share evenly then."""
BITS = (np.arange(MASKS)[:, None] >> np.arange(len(MODALITIES)) & 1).astype(np.bool_)
"""(16, 4) the modalities of each mask."""
SLOTS = BITS[:, list(SLOT_MODALITY)]
COUNT = BITS.sum(1)


class Coalitions(NamedTuple):
    """m coalitions of the events of a batch, the first with nobody: every one of every group by its rows."""

    groups: list[tuple[int, Ints]]  # a mask with more than one modality, and the events that have it
    own: Ints  # (m,) events
    masks: Ints  # (m,)
    said: NDArray[np.bool_]  # (m,) the event's opinion counts

    @staticmethod
    def of(masks: Ints, spoken: NDArray[np.bool_]) -> Coalitions:
        """Those of events with the `masks` (n,), `spoken` (n,) where the opinion was aloud; none if all are alone."""
        groups = [(mask, np.flatnonzero(masks == mask)) for mask in range(MASKS) if COUNT[mask] > 1]
        groups = [(mask, rows) for mask, rows in groups if len(rows)]
        nobody = np.zeros(min(len(groups), 1), np.int64)
        own = np.concatenate([nobody, *(np.tile(rows, len(coalitions(mask))) for mask, rows in groups)])
        hidden = np.concatenate([nobody, *(coalitions(mask).repeat(len(rows)) for mask, rows in groups)])
        said = np.where(spoken[own], BITS[hidden, VOICE], BITS[hidden, TEXT])
        return Coalitions(groups, own, hidden, said)


class Shapley:
    """Shares of the modalities in a prediction.

    The players are the modalities that an event's user has (behaviour is two slots); a coalition's worth is each of
    the answers' probabilities with the others hidden, less that with all of them hidden. Player i gets of answer o

        phi[i, o] = sum over coalitions S without i of |S|! (k - |S| - 1)! / k! * (p[o](S + i) - p[o](S))

    so that the phi of all players add up to how far the answer moved, and the share of i is sum_o |phi[i, o]| over
    the same sum of all players. A softmax counts half per class: what moves from one class to another moves once.
    The encoders run once; fusion and heads once per coalition, and not at all where one modality is alone.
    """

    def __init__(self, fusion: Fusion, heads: Mapping[str, Head]) -> None:
        self._fusion = fusion
        self._heads = {name: heads[name] for name in ANSWERS}

    def __call__(
        self, views: Views, fused: Fused, masks: Ints, columns: Mapping[str, Columns], asked: Coalitions
    ) -> Floats:
        """(n, 4): 0 where absent, else > 0; rows sum to 1.

        `masks` (n,) are `fused.mask` on the CPU; `columns` the heads'; `asked` the events' coalitions.
        """
        return self.divided(masks, columns, asked, self._answers(views, fused, asked) if asked.groups else None)

    def divided(self, masks: Ints, columns: Mapping[str, Columns], asked: Coalitions, answers: Floats | None) -> Floats:
        """The same from the answers (m, answers) to the coalitions."""
        shares: Floats = BITS[masks].astype(np.float32)
        if answers is not None:
            self._divide(shares, asked.groups, answers, columns)
        return shares

    def _answers(self, views: Views, fused: Fused, asked: Coalitions) -> Floats:
        """(m, answers)."""
        size = AT_ONCE if views.present.device.type == "cpu" else len(asked.own)
        pieces = [slice(at, at + size) for at in range(0, len(asked.own), size)]
        return np.concatenate(
            [self._piece(views, fused, asked.own[at], asked.masks[at], asked.said[at]) for at in pieces]
        )

    def _piece(self, views: Views, fused: Fused, own: Ints, masks: Ints, said: NDArray[np.bool_]) -> Floats:
        """(m, answers) for coalitions (m,) of the events `own`, whose opinion counts where `said`."""
        device = views.present.device
        at, mask, slots, acted, says = (
            torch.from_numpy(part).to(device) for part in (own, masks, SLOTS[masks], BITS[masks, :1], said)
        )
        vector, _ = self._fusion.blend(views._replace(present=slots), at)
        given = hidden_in(fused._replace(vector=vector, mask=mask), at, says, acted)
        made = fetched({name: head.columns(head(given)) for name, head in self._heads.items()}, device)
        return probabilities({name: {key: value.numpy() for key, value in each.items()} for name, each in made.items()})

    def _divide(
        self, shares: Floats, groups: list[tuple[int, Ints]], answers: Floats, columns: Mapping[str, Columns]
    ) -> None:
        """Fill in the shares of the groups' rows."""
        whole, first = probabilities({name: columns[name] for name in self._heads}), 1
        for mask, rows in groups:
            divide(answers, first, whole, rows, weights(int(COUNT[mask])), np.flatnonzero(BITS[mask]), TRACE, shares)
            first += len(coalitions(mask)) * len(rows)


class Together:
    """Answers to the events of a batch and to their coalitions in one pass, for CPUs and where both are few: there a
    call costs more than its rows. Stands in the place of `FusedModel.answers` for one batch."""

    def __init__(self, net: FusedModel, shares: Shapley, spoken: NDArray[np.bool_]) -> None:
        self._net = net
        self._shares = shares
        self._spoken = spoken
        self._asked: Coalitions | None = None
        self._joined = False
        self._answers: Floats | None = None

    def __call__(self, seen: Seen) -> Answers:
        """As FusedModel.answers, with the coalitions' raw answers behind the events' where the shares need them."""
        net, slots = self._net, seen.slots
        mask = mask_of(slots.present[:, 1:])
        count = len(mask)
        asked = self._asked = Coalitions.of(mask.numpy(), self._spoken)
        self._joined = bool(asked.groups) and count + len(asked.own) <= AT_ONCE
        if not self._joined:
            return net.answers(seen)
        views = net.fusion.views(slots)
        rows = torch.from_numpy(np.concatenate([np.arange(count), asked.own]))
        masks = torch.cat([mask, torch.from_numpy(asked.masks)])
        hidden = torch.from_numpy(SLOTS[asked.masks])
        acted = torch.cat([torch.ones(count, 1, dtype=torch.bool), hidden[:, :1]])
        says = torch.from_numpy(np.concatenate([np.ones(count, bool), asked.said]))
        vector, _ = net.fusion.blend(views._replace(present=torch.cat([slots.present, hidden])), rows)
        known = Fused(vector, seen.opinion.vector, seen.opinion.present, seen.items, seen.rhythm, masks)
        both = hidden_in(known, rows, says, acted)
        events = Fused(*(part[:count] for part in both))
        raw = {name: head(both if name in ANSWERS else events) for name, head in net.heads.items()}
        return Answers(raw, views, events)

    def columns(self, raw: Mapping[str, Tensor], heads: Mapping[str, Head]) -> dict[str, dict[str, Tensor]]:
        """The columns of every head for the events; what it says to the coalitions is kept."""
        made = {name: head.columns(raw[name]) for name, head in heads.items()}
        if self._joined:
            count = len(self._spoken)
            rest = {name: {key: each[count:].numpy() for key, each in made[name].items()} for name in ANSWERS}
            made |= {name: {key: each[:count] for key, each in made[name].items()} for name in ANSWERS}
            self._answers = probabilities(rest)
        return made

    def shares(self, views: Views, fused: Fused, masks: Ints, columns: Mapping[str, Columns]) -> Floats:
        """As Shapley gives them."""
        asked = Coalitions.of(masks, self._spoken) if self._asked is None else self._asked
        if self._joined:
            return self._shares.divided(masks, columns, asked, self._answers)
        return self._shares(views, fused, masks, columns, asked)


def hidden_in(known: Fused, at: Tensor, says: Tensor, acted: Tensor) -> Fused:
    """What heads read of coalitions (m,) of the events `at`: the rest of `known` (n,) for the `vector` and `mask` (m,)
    that it has already; opinions where one `says` (m,), behaviour where one `acted` (m, 1)."""
    return known._replace(
        opinion=known.opinion[at] * says[:, None],
        has_opinion=known.has_opinion[at] & says,
        items=known.items[at] * acted,
        rhythm=known.rhythm[at] * acted,
    )


def probabilities(columns: Mapping[str, Mapping[str, NDArray[Any]]]) -> Floats:
    """(m, answers): calibrated probabilities of the heads, those of a softmax halved."""
    parts = [each["scores"] / 2 if "scores" in each else each["score"][:, None] for each in columns.values()]
    return np.concatenate(parts, axis=1, dtype=np.float32)


@cache
def coalitions(mask: int) -> Ints:
    """Masks of all coalitions of a mask's modalities but nobody and everybody; bit i of place + 1 is player i."""
    own = np.flatnonzero(BITS[mask])
    places = np.arange(1, (1 << len(own)) - 1)
    masks: Ints = ((places[:, None] >> np.arange(len(own)) & 1) << own).sum(1)
    return masks


@cache
def weights(count: int) -> Floats:
    """(k, 2^k - 1) what a player's value takes of the worth of each coalition but nobody, by place."""
    table = np.zeros((count, (1 << count) - 1), np.float32)
    for coalition in range(1, 1 << count):
        size = coalition.bit_count()
        for player in range(count):
            joins = bool(coalition >> player & 1)  # then it is the last to come, else the next one
            orders = factorial(size - joins) * factorial(count - size - (not joins))
            table[player, coalition - 1] = (1 if joins else -1) * orders / factorial(count)
    return table
