"""The learned mixture: what the encoders, session kNN and counting say of each candidate, weighed by a small network.

A gate of the session's own traits (length, repeats, how sure and how much at one the parts are) sets the weight of
every part; a network over both finds what the gate cannot say. Fitted on sessions that no part has learned from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from fusion.session_counts import Habits, Successions, Transitions
from fusion.sessions import Rows, Sessions

Floats = NDArray[np.float32]
SESSION_ITEMS = 20
"""Newest items of a session that are candidates themselves."""
BESIDE, FARNESS = 6, 0.7
"""Newest items beside which a candidate is looked for in other sessions, and what each counts of the one after it."""


class Candidates(NamedTuple):
    """c candidates of n cases and what is known of them; a row of 0 is no candidate."""

    row: Rows  # (n, c)
    traits: Floats  # (n, c, f) of the candidate; the first is the encoders' log probability
    session: Floats  # (n, g) of the session

    def some(self, chosen: NDArray[np.int64]) -> Candidates:
        """The chosen cases."""
        return Candidates(self.row[chosen], self.traits[chosen], self.session[chosen])


@dataclass(frozen=True)
class Counts:
    """What counting knows, for the traits."""

    popularity: NDArray[np.int64]  # (V + 1,)
    recent: NDArray[np.int64]  # (V + 1,) among the newest sessions
    next: Transitions
    near: Transitions
    far: Transitions
    rows: Successions
    habits: Habits


def distinct(row: Rows) -> Rows:
    """The rows (n, c) with 0 in place of all but the first of equals."""
    order = np.argsort(row, axis=1, kind="stable")
    ordered = np.take_along_axis(row, order, 1)
    ordered[:, 1:][ordered[:, 1:] == ordered[:, :-1]] = 0
    single = np.empty_like(row)
    np.put_along_axis(single, order, ordered, 1)
    return single


def scored(row: Rows, found: Rows, score: Floats) -> Floats:
    """(n, c) the scores (n, k) that the rows (n, c) were found with, 0 for the others."""
    base = (int(max(row.max(initial=0), found.max(initial=0))) + 1) * np.arange(len(row))[:, None]
    order = np.argsort((found + base).ravel(), kind="stable")
    known = (found + base).ravel()[order]
    place = np.searchsorted(known, row + base).clip(0, len(known) - 1)
    return np.where((known[place] == row + base) & (row > 0), score.ravel()[order][place], np.float32(0))


def candidates(
    prefix: Sessions, encoded: tuple[Rows, Callable[[Rows], Floats]], near: tuple[Rows, Floats], counts: Counts
) -> Candidates:
    """Of the encoders' best rows (n, k), session kNN's (n, k) with their scores, and the session's own.

    `encoded` also tells the log probabilities of any rows (n, c).
    """
    newest = prefix.newest(SESSION_ITEMS)
    row = distinct(np.concatenate([encoded[0], near[0], newest], 1))
    real = row > 0
    likely = np.where(real, encoded[1](row), -20.0).astype(np.float32)
    similar = scored(row, *near)
    whole = near[1].sum(1, keepdims=True) + 1e-6
    last, before = newest[:, :1], newest[:, 1:2]
    same = (row[:, :, None] == newest[:, None]) & real[:, :, None]  # (n, c, 20)
    inside = same.any(2)
    back = np.where(inside, same.argmax(2), SESSION_ITEMS)
    visits = counts.popularity[row]
    followed, followable = counts.rows.after(before, last, row)
    lately = np.split(newest[:, :BESIDE], BESIDE, 1)
    beside = [counts.far.between(item, row) + counts.far.between(row, item) for item in lately]

    def share(count: Floats, source: Rows) -> Floats:
        return np.log((count + 0.01) / (counts.popularity[source] + 5))

    traits = [
        likely,
        np.log(similar / whole + 1e-4),
        np.log(similar + 1e-2),
        share(counts.next.between(last, row), last),
        share(counts.next.between(before, row), before),
        share(counts.near.between(last, row), last),
        share(counts.near.between(before, row), before),
        share(counts.near.between(newest[:, 2:3], row), newest[:, 2:3]),
        share(counts.next.between(row, last), last),
        inside,
        back == 0,
        back == 1,
        back == 2,
        np.where(inside, np.log1p(back), 0),
        np.log1p(same.sum(2)),
        np.log1p(visits),
        np.log((counts.recent[row] + 0.5) / (visits + 5)),
        np.log((beside[0] + 0.01) / (counts.popularity[last] + 5)),
        sum(FARNESS**back * np.log1p(each) for back, each in enumerate(beside)),
        np.log((followed + 0.01) / (followable + 2)),
        *(habit[row] for habit in (counts.habits.again, counts.habits.ends, counts.habits.begins)),
    ]
    probability = np.where(real, np.exp(likely), 0)
    length = prefix.length
    session = [
        np.log(length.clip(1)),
        (distinct(newest) > 0).sum(1) / length.clip(1, SESSION_ITEMS),
        (last == before)[:, 0],
        likely.max(1),
        np.log((probability * inside).sum(1) + 1e-4),
        np.log((similar * inside).sum(1) / whole[:, 0] + 1e-3),
        np.log(whole[:, 0]),
        np.log1p(counts.popularity[last[:, 0]]),
        np.take_along_axis(row, likely.argmax(1)[:, None], 1)[:, 0] == near[0][:, 0],
    ]
    return Candidates(
        row, np.stack([trait.astype(np.float32) for trait in traits], -1), np.stack(session, -1).astype(np.float32)
    )


class Mixture(nn.Module):
    """Scores of candidates."""

    middle: Tensor
    spread: Tensor

    def __init__(self, traits: int, session: int, *, hidden: int = 128) -> None:
        super().__init__()
        self.gate = nn.Linear(session, traits)
        self.own = nn.Linear(traits, hidden)
        self.around = nn.Linear(session, hidden, bias=False)
        self.deep = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, 1, bias=False)
        self.register_buffer("middle", torch.zeros(traits + session))
        self.register_buffer("spread", torch.ones(traits + session))
        for weight in (self.gate.weight, self.gate.bias, self.last.weight):
            nn.init.zeros_(weight)

    def forward(self, row: Tensor, traits: Tensor, session: Tensor) -> Tensor:
        """(n, c), minus infinity for no candidate; before fitting, the encoders' order."""
        f = traits.shape[-1]
        traits = (traits - self.middle[:f]) / self.spread[:f]
        session = (session - self.middle[f:]) / self.spread[f:]
        hidden = F.relu(self.deep(F.relu(self.own(traits) + self.around(session)[:, None])))
        score = (traits * self.gate(session)[:, None]).sum(-1) + self.last(hidden).squeeze(-1)
        return torch.where(row == 0, float("-inf"), score)


def fit(
    known: Candidates,
    target: Rows,
    *,
    seed: int,
    epochs: int = 8,
    least: int = 300,
    batch: int = 256,
    learning_rate: float = 3e-3,
) -> Mixture:
    """A mixture fitted by the likelihood of the target (n,) among the candidates, in at least so many steps."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    mixture = Mixture(known.traits.shape[-1], known.session.shape[-1])
    real = known.traits[known.row > 0]
    middle = np.concatenate([real.mean(0), known.session.mean(0)])
    spread = np.concatenate([real.std(0), known.session.std(0)]) + 1e-3
    mixture.middle.copy_(torch.from_numpy(middle))
    mixture.spread.copy_(torch.from_numpy(spread))
    with torch.no_grad():
        mixture.gate.bias[0] = float(spread[0])  # the encoders' own log probability, unscaled
    hit = (known.row == target[:, None]) & (target > 0)[:, None]
    usable, place = np.flatnonzero(hit.any(1)), torch.from_numpy(hit.argmax(1))
    row, traits, session = map(torch.from_numpy, known)
    optimiser = torch.optim.AdamW(mixture.parameters(), lr=learning_rate, weight_decay=1e-4)
    a_pass = max(1, -(-len(usable) // batch))
    epochs = max(epochs, -(-least // a_pass))
    steps = epochs * a_pass
    decay = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / steps)
    for _ in range(epochs):
        for chosen in torch.split(torch.from_numpy(rng.permutation(usable)), batch):
            optimiser.zero_grad()
            loss = F.cross_entropy(mixture(row[chosen], traits[chosen], session[chosen]), place[chosen])
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            decay.step()
    return mixture.eval()


@torch.no_grad()
def best(mixtures: Sequence[Mixture], known: Candidates, k: int) -> Rows:
    """(n, k) the rows of the highest mean probability, best first; 0 for none."""
    given = [torch.from_numpy(part) for part in known]
    score = torch.stack([mixture(*given).softmax(-1) for mixture in mixtures]).mean(0)
    score = torch.where(given[0] == 0, -1.0, score)
    place = score.topk(min(k, score.shape[1])).indices.numpy()
    return np.take_along_axis(known.row, place, 1)
