"""Which events mattered: the answer again without each of them, through the stream's own state, features and model.

Occlusion: Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks" (arXiv 1311.2901).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fusion.inputs import CARRIED
from fusion.scorer import Scorer
from fusion.shapley import ANSWERS, probabilities
from stream_app.events import EventBatch
from stream_app.state import StateSettings, TaskState

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Effect:
    """What some events did to the last answer: with them less without them."""

    influence: float  # how far all answers' probabilities moved, as in `fusion.shapley`
    purchase: float
    churn: float


@dataclass(frozen=True)
class Again:
    """The last answer computed anew, and the effect of each set of events that was left out."""

    scores: Mapping[str, float]  # purchase, churn, anomaly
    effects: Sequence[Effect]


def without(scorer: Scorer, events: EventBatch, left_out: Sequence[Ints], *, settings: StateSettings) -> Again:
    """Answer the user's `events` (n,) as they were and once without each set of places; as many users of one batch.

    A set that leaves no event is compared with a user who only did the first thing left out.
    """
    every = np.arange(len(events))
    kept = [every, *(rest if len(rest := np.setdiff1d(every, out)) else out[:1] for out in left_out)]
    copies = events.take(np.concatenate(kept))
    names = np.array([b"%06d" % number for number in range(len(kept))], object)
    copies = replace(copies, user=names.repeat([len(one) for one in kept]))
    state = TaskState(settings, carried=CARRIED, history=scorer.history)
    rows = state.update(copies)
    answer = scorer.score(state.features(copies, rows)[0])
    last = np.searchsorted(rows.row, np.arange(len(kept)), side="right") - 1
    last = last[np.argsort(rows.users)]  # of each copy, by its number
    columns = {name: {key: each[last] for key, each in answer.columns[name].items()} for name in ANSWERS}
    told = probabilities(columns)
    moved = np.abs(told[0] - told[1:]).sum(1)
    purchase, churn = (columns[name]["score"][0] - columns[name]["score"][1:] for name in ("purchase", "churn"))
    return Again(
        {name: float(columns[name]["score"][0]) for name in ("purchase", "churn", "anomaly")},
        [Effect(*map(float, one)) for one in zip(moved, purchase, churn, strict=True)],
    )
