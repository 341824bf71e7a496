"""Training a session encoder: every position of every session asks for its next item, among all items or a sample."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusion.session_encoder import SessionEncoder
from fusion.session_softmax import retrieval_loss
from fusion.sessions import Sessions, batches


@dataclass(frozen=True)
class TrainingSettings:
    """How a session encoder learns."""

    positions: int = 800  # items of a batch
    learning_rate: float = 2e-3
    warmup: int = 200  # steps
    averaged: float = 0.999  # of the averaged weights that stays per step; they are the ones that are kept
    negatives: int = 8192  # drawn anew for every batch
    full_up_to: int = 20_000  # items up to which all of them are negatives
    clip: float = 1.0  # norm of the gradient, item table apart


def train(
    model: SessionEncoder,
    sessions: Sessions,
    epochs: float,
    rng: np.random.Generator,
    *,
    settings: TrainingSettings | None = None,
    share: float = 1.0,
    advance: Callable[[float], None] | None = None,
) -> SessionEncoder:
    """The model with averaged weights, after so many passes from `share` of the learning rate down to nothing.

    `advance` hears after each step what share of the passes it was.
    """
    s = settings or TrainingSettings()
    table = {"items.weight", "bias"}
    shared = [weights for name, weights in model.named_parameters() if name not in table]
    optimiser = torch.optim.Adam(model.parameters(), lr=s.learning_rate, betas=(0.9, 0.99), fused=True)
    averaged = copy.deepcopy(model)
    model.train()
    step, steps = 0, max(1, int(epochs * sum(1 for _ in batches(sessions, s.positions))))
    while step < steps:
        for chosen in batches(sessions, s.positions, generator=rng):
            rate = s.learning_rate * share * min(1.0, (step + 1) / s.warmup) * (1 - step / steps)
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.zero_grad()
            loss_of(model, torch.from_numpy(sessions.padded(chosen)), s, rng).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(shared, s.clip)
            optimiser.step()
            step += 1
            if step % 4 == 0:
                average(averaged, model, min(s.averaged, step / (step + 10)) ** 4)
            if advance is not None:
                advance(1 / steps)
            if step >= steps:
                break
    average(averaged, model, 0.0 if steps < 4 else 1.0)
    return averaged.eval()


def loss_of(model: SessionEncoder, session: Tensor, settings: TrainingSettings, rng: np.random.Generator) -> Tensor:
    """Mean negative log likelihood of the items 2.. of sessions (b, w)."""
    items = model.items.num_embeddings
    if items <= settings.full_up_to:
        table = model.table()
    else:
        rows, correction = sampled(session, items, settings.negatives, rng)
        place = torch.zeros(items, dtype=torch.int64)
        place[rows] = torch.arange(len(rows))
        session, table = place[session], model.table(rows)
        table = torch.cat([table[:, :-1], table[:, -1:] + correction[:, None]], 1)
    asked, gain = model(session[:, :-1], table)
    following = session[:, 1:]
    real = following > 0  # (b, w - 1)
    target = following[real]  # (n,)
    seen = session[:, None, :-1].expand(-1, real.shape[1], -1)[real]  # (n, w - 1)
    weight = torch.full((len(target),), 1 / max(len(target), 1))
    return retrieval_loss(asked[real], table, seen, gain[real], target, weight)


def sampled(session: Tensor, items: int, negatives: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Rows of padding, the batch's own items and others drawn evenly, and what corrects each logit for the draw."""
    own = torch.unique(torch.cat([session.new_zeros(1), session.flatten()]))
    free = np.ones(items, bool)
    free[own.numpy()] = False
    others = np.flatnonzero(free)
    drawn = torch.from_numpy(rng.choice(others, min(negatives, len(others)), replace=False))
    correction = torch.zeros(len(own) + len(drawn))
    correction[len(own) :] = math.log(len(others) / max(len(drawn), 1))
    return torch.cat([own, drawn]), correction


@torch.no_grad()
def average(kept: SessionEncoder, model: SessionEncoder, keep: float) -> None:
    """Move the kept weights towards the model's."""
    for old, new in zip(kept.parameters(), model.parameters(), strict=True):
        old.lerp_(new, 1 - keep)


def covisit_vectors(
    sessions: Sessions, items: int, size: int, rng: np.random.Generator, *, span: int = 4, nearness: float = 0.8
) -> NDArray[np.float32]:
    """(V + 1, size) unit vectors of items from the truncated SVD of their positive pointwise mutual information.

    What occurs within `span` steps of a session counts, less per step; word2vec's smoothing (Levy & Goldberg 2014).
    """
    from scipy import sparse  # type: ignore[import-untyped]
    from sklearn.utils.extmath import randomized_svd

    of = np.repeat(np.arange(len(sessions)), sessions.length)
    met = sparse.csr_matrix((items + 1, items + 1), dtype=np.float64)
    for step in range(1, span + 1):
        together = of[step:] == of[:-step]
        ends = sessions.item[:-step][together], sessions.item[step:][together]
        met += sparse.csr_matrix((np.full(int(together.sum()), nearness ** (step - 1)), ends), shape=met.shape)
    met = (met + met.T + sparse.eye(items + 1)).tocoo()
    share = np.asarray(met.sum(1)).ravel()
    chance = share**0.75 / (share**0.75).sum()
    information = np.log(met.data / (share[met.row] * chance[met.col])).clip(0)
    found = sparse.csr_matrix((information, (met.row, met.col)), shape=met.shape)
    left, scale, _ = randomized_svd(found, min(size, items), n_iter=3, random_state=int(rng.integers(1 << 31)))
    vectors = np.zeros((items + 1, size), np.float32)
    vectors[:, : left.shape[1]] = left * np.sqrt(scale)
    vectors += rng.normal(scale=1e-3, size=vectors.shape).astype(np.float32)
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
