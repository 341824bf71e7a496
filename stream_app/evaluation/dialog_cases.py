"""From dialogs to what the models of the fusion suite see; what is fitted on the way is fitted to training turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoders.behavior import BehaviorEncoder
from fusion.dialog_behavior import encoded
from fusion.dialog_model import Cases
from fusion.dialogs import Dialogs
from stream_app.evaluation.dialog_words import Vectors, last_tokens, so_far, topic_vectors

RECENT = 3
"""Turns whose kind the worked example sees one by one."""


class Words(NamedTuple):
    """What was said up to each turn, as each kind of model reads it."""

    said: Tensor  # (n, j)
    answered: Tensor  # (n, k)
    tokens: Tensor  # (n, t)
    vocabulary: int


@dataclass(frozen=True)
class Sentences:
    """Sentence vectors of both speakers, None where there is no sentence encoder."""

    said: Vectors | None
    answered: Vectors | None


def words_of(dialogs: Dialogs, sentences: Sentences, learned: NDArray[np.int64]) -> Words:
    """Vectors and ids of all turns; statistics come from the `learned` turns alone."""
    views = []
    for texts, vectors in ((dialogs.said, sentences.said), (dialogs.answered, sentences.answered)):
        topics = so_far(topic_vectors(texts.tolist(), learned, seed=0), dialogs.turn)
        views.append(topics if vectors is None else torch.cat([so_far(vectors, dialogs.turn), topics], -1))
    tokens, vocabulary = last_tokens(dialogs.said.tolist(), dialogs.answered.tolist(), dialogs.turn, learned)
    return Words(views[0], views[1], tokens, vocabulary)


def cases_of(dialogs: Dialogs, encoder: BehaviorEncoder, words: Words, *, kinds: int, silent: bool = False) -> Cases:
    """All turns; where the dialogs are silent, `words` only says how wide words are."""
    rows, n = np.arange(len(dialogs)), len(dialogs)
    with torch.no_grad():
        behavior = encoded(encoder, dialogs, rows)
    return Cases(
        dialog=torch.from_numpy(dialogs.dialog),
        turn=torch.from_numpy(dialogs.turn).float(),
        behavior=behavior,
        said=blank(words.said, n) if silent else words.said,
        answered=blank(words.answered, n) if silent else words.answered,
        tokens=blank(words.tokens, n) if silent else words.tokens,
        counts=torch.from_numpy(counts_of(dialogs, kinds)),
        next_action=torch.from_numpy(dialogs.next_action),
        cart=torch.from_numpy(dialogs.cart),
    )


def blank(words: Tensor, n: int) -> Tensor:
    """(n, k) zeros as wide as these."""
    return torch.zeros_like(words[:1]).expand(n, -1)


def counts_of(dialogs: Dialogs, kinds: int) -> NDArray[np.float32]:
    """(n, c) plain behaviour: the last kinds one by one, all so far counted, facts asked, turn, items seen."""
    n, one = len(dialogs), np.eye(kinds + 1, dtype=np.float32)
    table = np.zeros((n, (RECENT + 1) * (kinds + 1) + 3), np.float32)
    items: set[int] = set()
    for at in range(n):
        turn = int(dialogs.turn[at])
        items = {int(dialogs.item[at])} | (items if turn else set())
        recent = [one[dialogs.kind[at - back]] if back <= turn else one[0] for back in range(RECENT)]
        so_far = np.log1p(one[dialogs.kind[at - turn : at + 1]].sum(0))
        table[at] = np.concatenate([*recent, so_far, [dialogs.facts[at], np.log1p(turn), np.log1p(len(items))]])
    return table
