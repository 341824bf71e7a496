"""How well one model's answers came true, as sums: Brier score, log loss, and scores by outcome. Knows no users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BINARY = ("purchase", "churn")
HEADS = (*BINARY, "next_action")
"""What is graded: the answers whose truth the stream itself brings."""
EDGES: Floats = 1 / (1 + np.exp(-np.linspace(-6, 6, 15)))
"""Of the scores' bins: even in the log odds, because most answers lie near 0."""
BINS = len(EDGES) + 1
STATS = BINS + 4
"""Columns of a set of answers to one yes-or-no question: counts per bin, then sums of p, p², -ln p, -ln (1 - p)."""
LEAST = 1e-6
"""No answer is believed to be surer than this."""


class Figure(NamedTuple):
    """What one head of one model has come to."""

    graded: int
    log_loss: float  # mean
    error: float  # standard error of that mean, if answers were independent


def stats(score: NDArray[Any], group: NDArray[np.int64], groups: int) -> Floats:
    """(groups, STATS) of scores (n,) that belong to groups (n,)."""
    p = np.clip(score.astype(np.float64), LEAST, 1 - LEAST)
    made = np.empty((groups, STATS))
    place = group * BINS + np.searchsorted(EDGES, p, side="left")
    made[:, :BINS] = np.bincount(place, minlength=groups * BINS).reshape(groups, BINS)
    for at, column in enumerate((p, p * p, -np.log(p), -np.log1p(-p)), BINS):
        made[:, at] = np.bincount(group, column, groups)
    return made


class Grade:
    """The sums of one model. One thread adds; others may read meanwhile."""

    def __init__(self, label: str, number: int, actions: Sequence[str]) -> None:
        self.label, self.number, self.actions = label, number, actions
        self.outcomes = np.zeros((len(BINARY), 2, STATS))  # per head and outcome (0 no, 1 yes)
        self.choices = np.zeros(4)  # next action: graded, log loss, its squares, hits

    def add(self, head: str, no: Floats, yes: Floats) -> None:
        """Answers (STATS,) of which it is known that the outcome was no, or yes."""
        sums = self.outcomes[BINARY.index(head)]
        sums[0] += no
        sums[1] += yes

    def add_choices(self, probability: NDArray[Any], hit: NDArray[np.bool_]) -> None:
        """Probabilities (n,) that were given to what then happened, and whether it was the likeliest."""
        loss = -np.log(np.clip(probability.astype(np.float64), LEAST, 1))
        self.choices += (len(loss), loss.sum(), (loss * loss).sum(), hit.sum())

    def graded(self, head: str) -> int:
        """Answers whose truth is known."""
        if head in BINARY:
            return int(self.outcomes[BINARY.index(head), :, :BINS].sum())
        return int(self.choices[0])

    def log_loss(self, head: str) -> float:
        """Sum over the graded answers."""
        if head in BINARY:
            no, yes = self.outcomes[BINARY.index(head)]
            return float(no[BINS + 3] + yes[BINS + 2])
        return float(self.choices[1])

    def brier(self, head: str) -> float:
        """Sum of squared errors of a yes-or-no head."""
        no, yes = self.outcomes[BINARY.index(head)]
        return float(no[BINS + 1] + yes[:BINS].sum() - 2 * yes[BINS] + yes[BINS + 1])

    def auc(self, head: str) -> float:
        """Chance that a yes was scored above a no, from the bins (ties count half); NaN where one is missing."""
        no, yes = self.outcomes[BINARY.index(head), :, :BINS]
        below = np.cumsum(no) - no / 2
        pairs = no.sum() * yes.sum()
        return float((yes * below).sum() / pairs) if pairs else float("nan")

    def calibration_error(self, head: str) -> float:
        """Mean distance between said and true shares over the bins, each taken at its middle; NaN without answers."""
        no, yes = self.outcomes[BINARY.index(head), :, :BINS]
        n = no + yes
        return float(np.abs(yes - n * MIDDLES).sum() / n.sum()) if n.sum() else float("nan")

    def figure(self, head: str) -> Figure:
        """Mean log loss with its error; the squares of a yes-or-no head come from its bins."""
        n = max(self.graded(head), 1)
        mean = self.log_loss(head) / n
        if head in BINARY:
            no, yes = self.outcomes[BINARY.index(head), :, :BINS]
            squares = float((no * np.log1p(-MIDDLES) ** 2 + yes * np.log(MIDDLES) ** 2).sum())
        else:
            squares = float(self.choices[2])
        return Figure(self.graded(head), mean, float(np.sqrt(max(squares / n - mean * mean, 0.0) / n)))


MIDDLES: Floats = 1 / (
    1 + np.exp(-np.concatenate([[-6.4], (np.linspace(-6, 6, 15)[1:] + np.linspace(-6, 6, 15)[:-1]) / 2, [6.4]]))
)
"""(BINS,) the middle of each bin in the log odds."""


def worse(new: Grade, old: Grade, *, margin: float, least: int) -> str | None:
    """Why the new model is worse than the old one: the first head whose mean log loss is `margin` (a share) higher.

    Both must have `least` graded answers, and the difference must exceed twice its standard error.
    """
    for head in HEADS:
        ours, theirs = new.figure(head), old.figure(head)
        gap = ours.log_loss - theirs.log_loss
        sure = gap > 2 * float(np.hypot(ours.error, theirs.error))
        if min(ours.graded, theirs.graded) >= least and gap > margin * theirs.log_loss and sure:
            return f"log loss of {head} {ours.log_loss:.4f} over {ours.graded}, {theirs.log_loss:.4f} before"
    return None
