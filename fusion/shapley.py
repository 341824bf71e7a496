"""How much each modality moved the answer: exact Shapley values over the present ones.

Shapley 1953, "A value for n-person games"; Lundberg and Lee 2017, "A unified approach to interpreting model
predictions" (arXiv 1705.07874): importance is the sum of the values' magnitudes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from math import factorial

import torch
from torch import Tensor

from fusion.heads.protocol import Fused, Head
from fusion.model import MODALITIES, SLOT_MODALITY, Fusion, Views, mask_of

ANSWERS = ("purchase", "churn", "next_action", "sentiment", "anomaly")
"""The heads whose probabilities are divided among the modalities."""
TEXT, VOICE = MODALITIES.index("text"), MODALITIES.index("voice")
TRACE = 1e-9
"""Of every present modality, so that one which moves nothing is still listed, and all of them share evenly then."""


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

    def __call__(self, views: Views, fused: Fused, raw: Mapping[str, Tensor], spoken: Tensor) -> Tensor:
        """(n, 4) on the CPU: 0 where absent, else > 0; rows sum to 1. `spoken` (n,): the opinion was said aloud."""
        codes = present_codes(views.present.cpu())
        shares = torch.zeros(len(codes), len(MODALITIES))
        groups: list[tuple[int, Tensor]] = []
        for code in sorted(set(codes.tolist())):
            rows = torch.nonzero(codes == code).squeeze(1)
            if len(players(code)) > 1:
                groups.append((code, rows))
            else:
                shares[rows] = bits(torch.tensor([code])).float()
        if groups:
            self._divide(shares, groups, views, (fused, spoken), raw)
        return shares

    def _divide(
        self,
        shares: Tensor,
        groups: list[tuple[int, Tensor]],
        views: Views,
        opinion: tuple[Fused, Tensor],
        raw: Mapping[str, Tensor],
    ) -> None:
        """Fill in the rows of several modalities, all coalitions of all groups as one batch."""
        device = views.present.device
        none = groups[0][1][:1]  # nobody present: any row will do
        rows = torch.cat([none, *(rows.repeat(len(coalitions(code))) for code, rows in groups)])
        taken = torch.cat(
            [none * 0, *(torch.tensor(coalitions(code)).repeat_interleave(len(rows)) for code, rows in groups)]
        )
        answers = self._answers(views, opinion, rows.to(device), bits(taken).to(device)).cpu()
        absent, at = answers[:1], 1
        for code, own in groups:
            inner = len(coalitions(code)) * len(own)
            some = answers[at : at + inner].view(-1, len(own), answers.shape[1])
            whole = self._probabilities({name: raw[name][own.to(device)] for name in self._heads}).cpu()
            worth = torch.cat([some - absent, (whole - absent)[None]])  # (2^k - 1, r, answers), nobody's is 0
            value = torch.tensordot(weights(len(players(code))), worth, 1)  # (k, r, answers)
            moved = value.abs().sum(-1).T + TRACE  # (r, k)
            shares[own[:, None], torch.tensor(players(code))] = moved / moved.sum(-1, keepdim=True)
            at += inner

    def _answers(self, views: Views, opinion: tuple[Fused, Tensor], rows: Tensor, present: Tensor) -> Tensor:
        """(m, answers) probabilities of the events `rows` (m,) with only the modalities `present` (m, 4)."""
        fused, spoken = opinion
        seen = Views(
            views.vectors[rows], views.logits[rows], present[:, list(SLOT_MODALITY)], views.meta[rows]
        )  # each slot with its modality
        said = torch.where(spoken[rows], present[:, VOICE], present[:, TEXT])
        given = Fused(
            self._fusion.blend(seen)[0],
            fused.opinion[rows] * said[:, None],
            fused.has_opinion[rows] & said,
            fused.items[rows] * present[:, :1],
            fused.rhythm[rows] * present[:, :1],
            mask_of(present),
        )
        return self._probabilities({name: head(given) for name, head in self._heads.items()})

    def _probabilities(self, raw: Mapping[str, Tensor]) -> Tensor:
        """(m, answers): calibrated probabilities, those of a softmax halved."""
        parts: list[Tensor] = []
        for name, head in self._heads.items():
            columns = head.columns(raw[name])
            parts.append(columns["scores"] / 2 if "scores" in columns else columns["score"][:, None])
        return torch.cat(parts, -1)


def present_codes(present: Tensor) -> Tensor:
    """Which modalities are there, as a bit each (n,), from the slots (n, 5)."""
    first = [SLOT_MODALITY.index(number) for number in range(len(MODALITIES))]
    return mask_of(present[:, first])


def bits(codes: Tensor) -> Tensor:
    """(m, 4) bool of codes (m,)."""
    return (codes[:, None] >> torch.arange(len(MODALITIES)) & 1).bool()


@cache
def players(code: int) -> tuple[int, ...]:
    """The modalities of a code."""
    return tuple(number for number in range(len(MODALITIES)) if code >> number & 1)


@cache
def coalitions(code: int) -> tuple[int, ...]:
    """Codes of all its coalitions but nobody and everybody; bit i of a coalition's place is player i."""
    own = players(code)
    return tuple(
        sum(1 << player for at, player in enumerate(own) if place >> at & 1) for place in range(1, (1 << len(own)) - 1)
    )


@cache
def weights(count: int) -> Tensor:
    """(k, 2^k - 1) what a player's value takes of the worth of each coalition but nobody, by place - 1."""
    table = torch.zeros(count, (1 << count) - 1)
    for place in range(1, 1 << count):
        size = place.bit_count()
        for player in range(count):
            joins = bool(place >> player & 1)  # then it is the last to come, else the next one
            orders = factorial(size - joins) * factorial(count - size - (not joins))
            table[player, place - 1] = (1 if joins else -1) * orders / factorial(count)
    return table
