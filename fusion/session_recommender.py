"""The next item of a session: an ensemble of encoders, session kNN and counts, under a learned mixture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusion.session_counts import Transitions, popularity
from fusion.session_encoder import EncoderSettings, SessionEncoder
from fusion.session_knn import KnnSettings, SessionKnn
from fusion.session_mixture import Candidates, Counts, Floats, Mixture, best, candidates, fit
from fusion.session_training import TrainingSettings, covisit_vectors, started, train
from fusion.sessions import Rows, Sessions, batches, cases

APART_MS = 3_600_000
"""Logs without times are learned as if a session began every hour."""

Advance = Callable[[float], None]


def silent(_share: float) -> None:
    """For whoever does not ask how far it is."""


@dataclass(frozen=True)
class RecommenderSettings:
    """What is trained, and for how long."""

    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    members: int = 1  # encoders of the ensemble; the cost of an answer grows with them
    epochs: float = 2.0  # over all but the tail
    last_epochs: float = 1.0  # over everything, once the mixture is fitted
    last_share: float = 0.5  # of the learning rate, there
    tail: float = 0.05  # newest share of the sessions, which the mixture is fitted on
    tail_cases: int = 24_000
    candidates: int = 60  # of the encoders, and as many of session kNN
    block: int = 4096  # cases answered at once


class SessionNeighbors:
    """Session kNN as the worker has it, over rows."""

    def __init__(self, sessions: Sessions, settings: KnnSettings) -> None:
        self.index = SessionKnn(settings)
        number = np.repeat(np.arange(len(sessions)), sessions.length)[sessions.item > 0]
        item = sessions.item[sessions.item > 0].astype(np.uint64)
        strength = np.ones(len(item))
        self.index.learn(item, (number + 1).astype(np.uint64), number * APART_MS, strength)

    def best(self, prefix: Sessions, k: int) -> tuple[Rows, Floats]:
        """(n, k) rows, 0 none, and their scores."""
        recent = prefix.newest(self.index.settings.recent)[:, ::-1].astype(np.uint64)
        found, score = self.index.recommend(recent, k)
        hashes = np.append(self.index.hashes, np.uint64(0)).astype(np.int64)
        return hashes[found], np.where(found < 0, np.float32(0), score)


class SessionRecommender:
    """Fitted to sessions in time order, of a catalogue of so many items."""

    def __init__(
        self,
        sessions: Sessions,
        items: int,
        *,
        seed: int,
        settings: RecommenderSettings | None = None,
        advance: Advance | None = None,
    ) -> None:
        """`advance` hears of the work done: the sum over all calls is 1."""
        self.settings = s = settings or RecommenderSettings()
        self.items = items
        tell = advance or silent
        rng = np.random.default_rng(seed)
        torch.manual_seed(seed)
        cut = len(sessions) - max(1, int(len(sessions) * s.tail))
        head = sessions.between(0, cut)
        total = s.members * (s.epochs + s.last_epochs)
        vectors = covisit_vectors(head, items, s.encoder.size, rng)
        self.encoders = [started(SessionEncoder(items, s.encoder), vectors, rng) for _ in range(s.members)]
        self._learn(head, s.epochs, 1.0, rng, lambda share: tell(share * s.epochs / total))
        tail = cases(sessions.between(cut, len(sessions)))
        tail = tail.some(np.sort(rng.permutation(len(tail))[: s.tail_cases]))
        known = [found for _, found in self.candidates(tail.prefix)]
        self.mixture: Mixture = fit(Candidates(*map(np.concatenate, zip(*known, strict=True))), tail.target, seed=seed)
        self._learn(sessions, s.last_epochs, s.last_share, rng, lambda share: tell(share * s.last_epochs / total))

    def _learn(
        self, sessions: Sessions, epochs: float, share: float, rng: np.random.Generator, advance: Advance
    ) -> None:
        s = self.settings
        newest = sessions.between(int(len(sessions) * 0.9), len(sessions))
        self.counts = Counts(
            popularity(sessions, self.items),
            popularity(newest, self.items),
            Transitions.of(sessions, self.items, span=1),
            Transitions.of(sessions, self.items, span=4),
        )
        self.neighbors = SessionNeighbors(sessions, similar_sessions(len(sessions)))
        self.encoders = [
            train(encoder, sessions, epochs, rng, settings=s.training, share=share, advance=advance)
            for encoder in self.encoders
        ]

    def candidates(self, prefix: Sessions) -> Iterator[tuple[NDArray[np.int64], Candidates]]:
        """Blocks of case numbers with their candidates, in order."""
        s = self.settings
        near = self.neighbors.best(prefix, s.candidates)
        for first in range(0, len(prefix), s.block):
            block = np.arange(first, min(first + s.block, len(prefix)))
            part = prefix.between(int(block[0]), int(block[-1]) + 1)
            voices = [Voice(encoder, part) for encoder in self.encoders]
            row = joined(voices, s.candidates)
            encoded = row, lambda rows, voices=voices: np.logaddexp.reduce([v.likely(rows) for v in voices])
            yield block, candidates(part, encoded, (near[0][block], near[1][block]), self.counts)

    def best(self, prefix: Sessions, k: int) -> Rows:
        """(n, k) rows of the items most likely to be next, best first; 0 for none."""
        return np.concatenate([best(self.mixture, known, k) for _, known in self.candidates(prefix)])


def similar_sessions(sessions: int) -> KnnSettings:
    """Session kNN that scores seen items like all others and weighs nothing else."""
    return KnnSettings(
        max_items=1 << 17,
        sessions=1 << int(sessions).bit_length(),
        half_life_ms=1 << 50,
        ring=128,
        sample=128,
        covisit_weight=0.0,
        popularity_weight=0.0,
        session_weight=1.0,
        repeat_weight=1e-9,
        repeat_kept=1.0,
    )


class Voice:
    """What one encoder says after prefixes."""

    @torch.no_grad()
    def __init__(self, encoder: SessionEncoder, prefix: Sessions, *, levels: int = 0) -> None:
        self.table = encoder.table()
        looks = encoder.settings.looks
        self.asked = torch.empty(len(prefix), self.table.shape[1])  # (n, d + 1)
        self.seen = torch.from_numpy(prefix.newest(looks))  # (n, looks)
        self.gain = torch.zeros(len(prefix), looks)
        for chosen in batches(prefix, 20_000):
            asked, gain = encoder(torch.from_numpy(prefix.padded(chosen)), self.table, levels=levels)
            case, each = torch.from_numpy(chosen), torch.arange(len(chosen))
            end = torch.from_numpy(prefix.length[chosen] - 1)
            back = end[:, None] - torch.arange(looks)
            self.asked[case] = asked[each, end]
            self.gain[case] = torch.where(back < 0, 0, gain[each, end].gather(1, back.clamp(min=0)))
        self._whole = torch.cat([part.float().logsumexp(1) for part in torch.split(self.logits(), 2048)])

    def logits(self) -> Tensor:
        """(n, V + 1) bfloat16; nothing for row 0."""
        logits = self.asked.bfloat16() @ self.table.bfloat16().T
        logits.scatter_add_(1, self.seen, self.gain.bfloat16())
        logits[:, 0] = -1e4
        return logits

    @torch.no_grad()
    def likely(self, rows: Rows) -> Floats:
        """(n, c) log probabilities of rows (n, c), in full precision where they are compared."""
        row = torch.from_numpy(rows)
        found = [
            (self.table[r] @ a[:, :, None]).squeeze(-1)
            for r, a in zip(torch.split(row, 256), torch.split(self.asked, 256), strict=True)
        ]
        same = row[:, :, None] == self.seen[:, None]  # (n, c, looks)
        logits = torch.cat(found) + (same * self.gain[:, None]).sum(-1)
        likely: Floats = (logits - self._whole[:, None]).numpy()
        return likely


@torch.no_grad()
def joined(voices: list[Voice], k: int) -> Rows:
    """(n, k) rows of the highest mean probability, best first."""
    total = voices[0].logits().softmax(1)
    for voice in voices[1:]:
        total += voice.logits().softmax(1)
    rows: Rows = total.topk(min(k, total.shape[1] - 1)).indices.numpy()
    return rows
