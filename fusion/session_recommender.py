"""The next item of a session: a session encoder, session kNN and counts, under a learned mixture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from encoders.device import quick_precision
from fusion.session_counts import Habits, Successions, Transitions, popularity
from fusion.session_encoder import EncoderSettings, SessionEncoder
from fusion.session_knn import KnnSettings, SessionKnn
from fusion.session_mixture import Candidates, Counts, Floats, Mixture, best, candidates, fit
from fusion.session_training import TrainingSettings, covisit_vectors, train
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
    epochs: float = 2.0  # over all but the tail
    last_epochs: float = 1.0  # over everything, once the mixtures are fitted
    last_share: float = 0.5  # of the learning rate, there
    tail: float = 0.08  # newest share of the sessions, which the mixtures are fitted on
    tail_cases: int = 50_000
    mixtures: int = 2  # whose mean answers
    candidates: int = 60  # of the encoder, and as many of session kNN
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
        first = s.epochs / (s.epochs + s.last_epochs)  # share of the passes
        self.encoder = SessionEncoder(items, s.encoder)
        self.encoder.start(covisit_vectors(head, items, s.encoder.size, rng))
        self._learn(head, s.epochs, 1.0, rng, lambda share: tell(share * first))
        tail = cases(sessions.between(cut, len(sessions)))
        tail = tail.some(np.sort(rng.permutation(len(tail))[: s.tail_cases]))
        known = Candidates(*map(np.concatenate, zip(*self.candidates(tail.prefix), strict=True)))
        self.mixtures: list[Mixture] = [fit(known, tail.target, seed=seed + at) for at in range(s.mixtures)]
        self._learn(sessions, s.last_epochs, s.last_share, rng, lambda share: tell(share * (1 - first)))

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
            Transitions.of(sessions, self.items, span=12, nearness=0.9),
            Successions.of(sessions, self.items),
            Habits.of(sessions, self.items),
        )
        self.neighbors = SessionNeighbors(sessions, similar_sessions(len(sessions)))
        self.encoder = train(self.encoder, sessions, epochs, rng, settings=s.training, share=share, advance=advance)

    def candidates(self, prefix: Sessions) -> Iterator[Candidates]:
        """Block by block, in order."""
        s = self.settings
        for part in prefix.blocks(s.block):
            said = Answers(self.encoder, part)
            near = self.neighbors.best(part, s.candidates)
            yield candidates(part, (said.best(s.candidates), said.likely), near, self.counts)

    def best(self, prefix: Sessions, k: int) -> Rows:
        """(n, k) rows of the items most likely to be next, best first; 0 for none."""
        return np.concatenate([best(self.mixtures, known, k) for known in self.candidates(prefix)])

    def encoded(self, prefix: Sessions, k: int, *, levels: int = 0) -> Rows:
        """(n, k) what the encoder alone would say, its state carried in so many levels."""
        parts = prefix.blocks(self.settings.block)
        return np.concatenate([Answers(self.encoder, part, levels=levels).best(k) for part in parts])


def similar_sessions(sessions: int) -> KnnSettings:
    """Session kNN that scores seen items like all others and weighs nothing else."""
    return KnnSettings(
        max_items=1 << 17,
        sessions=1 << int(sessions).bit_length(),
        half_life_ms=1 << 50,
        ring=128,
        sample=128,
        distance=0.6,
        reach=15,
        session_backward=1.0,
        covisit_weight=0.0,
        popularity_weight=0.0,
        session_weight=1.0,
        repeat_weight=1e-9,
        repeat_kept=1.0,
    )


class Answers:
    """What the encoder says after prefixes."""

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
        kind = quick_precision()
        self.logits = self.asked.to(kind) @ self.table.to(kind).T  # (n, V + 1)
        self.logits.scatter_add_(1, self.seen, self.gain.to(kind))
        self.logits[:, 0] = -1e4
        self._whole = torch.cat([part.float().logsumexp(1) for part in torch.split(self.logits, 512)])

    def best(self, k: int) -> Rows:
        """(n, k) rows of the highest logits, best first."""
        rows: Rows = self.logits.topk(min(k, self.logits.shape[1] - 1)).indices.numpy()
        return rows

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
