"""Invented shopping as feature batches, made as the worker makes them: decoded, admitted, with state carried along."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np

from fusion.features import FeatureBatch
from fusion.inputs import CARRIED
from fusion.recommender import ItemActivity, ItemIndex, strength_codes
from fusion.scorer import Scorer
from stream_app.events import ACTIONS, EventBatch
from stream_app.events.hashing import hash64
from stream_app.producers.simulate import simulate
from stream_app.state import StateSettings, TaskState
from stream_app.training.logs import START_MS, accepted

ITEMS = 10_000


def traffic(events: int, *, seed: int = 0) -> EventBatch:
    """So many events of a shop with 10,000 products, of everybody who came."""
    stream = simulate(users=max(20, events // 12), seed=seed, start_ms=START_MS, products=ITEMS)
    return accepted(islice(stream, events))


def learn_catalogue(index: ItemIndex, events: EventBatch) -> None:
    """The index as after these events, and before them a visit to each of the products that they say nothing about."""
    strength = strength_codes(ACTIONS)[events.action]
    told = (events.item > 0) & (strength > 0)  # being shown says nothing
    chosen, strength = events.take(told), strength[told]
    unseen = ITEMS - len(np.unique(chosen.item))
    names = np.array([f"shelf-{number}" for number in range(unseen)], object)
    hashes = np.array([hash64(name) for name in names], np.uint64)
    session = np.array([hash64(user.decode()) for user in chosen.user], np.uint64)
    first = np.full(unseen, START_MS - 86_400_000)
    index.append(
        1,
        ItemActivity.of(
            np.concatenate([names, chosen.product]),
            np.concatenate([hashes, chosen.item]),
            session=np.concatenate([np.arange(6, unseen + 6, dtype=np.uint64) // np.uint64(6), session]),
            event_time_ms=np.concatenate([first, chosen.event_time_ms]),
            strength=np.concatenate([np.ones(unseen, np.uint8), strength]),
            category=np.concatenate([np.zeros(unseen, np.uint64), chosen.category]),
        ),
    )


def batches(scorer: Scorer, events: EventBatch, size: int, most: int) -> list[FeatureBatch]:
    """The last `most` batches of `size` events, each as it was after the scorer had answered all events before it."""
    state = TaskState(StateSettings(), carried=CARRIED, history=scorer.history)
    first = len(events) - size * most
    cuts = [*range(0, first, 2_048), *range(first, len(events) + 1, size)]
    found: list[FeatureBatch] = []
    for start, end in pairwise(cuts):
        part = events.take(slice(start, end))
        rows = state.update(part)
        features, _ = state.features(part, rows)
        answer = scorer.score(features)
        state.carry(
            rows,
            answer.carried,
            events=part.take(rows.order),
            **{name: answer.columns[name]["score"] for name in ("purchase", "churn", "anomaly")},
            segment=answer.columns["segment"]["id"],
            sentiment=np.full(len(rows), np.nan, np.float32),
        )
        if start >= first:
            found.append(features)
    return found
