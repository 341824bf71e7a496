"""Why a user was answered so: the shares of the modalities, and the events that mattered."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from fusion.scorer import Scorer
from stream_app.events import ACTIONS
from stream_app.explain.occlusion import without
from stream_app.explain.past import Past
from stream_app.explain.words import phrase
from stream_app.outputs.times import rfc3339
from stream_app.state import StateSettings

SAME = 0.005
"""Scores so close are the same answer."""


def explanation(past: Past, scorer: Scorer, *, settings: StateSettings, most: int = 10) -> dict[str, Any]:
    """As JSON values. `events`: the last `most`, each left out; `reasons`: all events of a kind left out, by influence.

    Effects are the answer with the events less the answer without them; `reproduced` is false where today's model does
    not give the recorded answer, as after a change of model, under overload, or where events are `missing`.
    """
    events, prediction = past.events, past.prediction
    near = np.arange(max(0, len(events) - scorer.history - 1), len(events))
    single = near[-most:]
    kinds = [near[events.action[near] == action] for action in np.unique(events.action[near])]
    again = without(scorer, events, [*(np.array([at]) for at in single), *kinds], settings=settings)
    now_ms = int(events.event_time_ms[-1])
    reasons = [
        {
            "words": phrase(
                ACTIONS[events.action[kind[0]]],
                events.product[kind].tolist(),
                now_ms - int(events.event_time_ms[kind[0]]),
            ),
            "action": ACTIONS[events.action[kind[0]]],
            "count": len(kind),
            **asdict(effect),
        }
        for kind, effect in zip(kinds, again.effects[len(single) :], strict=True)
    ]
    recorded = {name: prediction["outputs"][name]["score"] for name in again.scores}
    return {
        "user_id": prediction["user_id"],
        "event_id": prediction["event_id"],
        "event_time": prediction["event_time"],
        "model": prediction["model"],
        "outputs": prediction["outputs"],
        "modalities": prediction["modalities"],
        "reasons": sorted(reasons, key=lambda reason: -float(str(reason["influence"]))),
        "events": [
            {
                "event_id": events.event_id[at],
                "event_time": rfc3339(events.event_time_ms[at : at + 1])[0],
                "action": ACTIONS[events.action[at]],
                "product_id": events.product[at],
                **asdict(effect),
            }
            for at, effect in zip(single.tolist(), again.effects, strict=False)
        ],
        "explained_with": scorer.model._asdict(),
        "missing": past.missing,
        "reproduced": all(abs(again.scores[name] - score) <= SAME for name, score in recorded.items()),
    }
