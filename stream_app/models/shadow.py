"""One task's shadow: a model scored beside the live one for a share of the users; only measured, never published.

It lives on the device thread behind the live model's batches, with carried states of its own. When it falls behind, or
the worker is overloaded, it leaves batches out, and their users' next answers know nothing of them. All of it starts
blank with the process.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from fusion.features import PER_USER, FeatureBatch, PredictionBatch
from stream_app.models.artefact import Served
from stream_app.models.grader import Grader
from stream_app.models.grades import Grade
from stream_app.models.memory import Held, held_dtype, keep, recall
from stream_app.models.metrics import ModelMetrics
from stream_app.state.records import gathered, scatter

log = logging.getLogger(__name__)

SALT = b"shadow\0"
POINTS = 1 << 32
WAITING = 4
"""Batches of a task on their way; more are left out."""


def chosen(users: Sequence[bytes], share: float) -> NDArray[np.bool_]:
    """(u,) who is in the shadow's share: the same users for ever and on every worker, more with a larger share."""
    points = np.fromiter((xxh3_64_intdigest(SALT + user) % POINTS for user in users), np.uint64, len(users))
    return points < share * POINTS


class Shadow:
    """`follow` on the event loop, the rest on the device thread."""

    def __init__(
        self,
        served: Served,
        share: float,
        grade: Grade,
        *,
        session_gap_ms: int,
        metrics: ModelMetrics,
        device: Executor,
    ) -> None:
        self.served, self.share = served, share
        self._grade, self._metrics, self._device = grade, metrics, device
        self._grader = Grader({grade.number: grade}, session_gap_ms=session_gap_ms)
        self._place = np.full(1024, -1, np.int32)  # of each user row in `_held`
        self._held: Held = np.zeros(256, held_dtype(served.scorer.carried_dtype))
        self._used = 0
        self._waiting = 0
        self._failed = False

    def follow(
        self, features: FeatureBatch, live: PredictionBatch, *, users: Sequence[bytes], rows: NDArray[np.int64]
    ) -> None:
        """Score the share's part of a batch soon; `users` and `rows` (u,) name its users and their places."""
        mine = chosen(users, self.share)
        if self._failed or not mine.any():
            return
        kept = mine[features.row]
        if self._waiting >= WAITING or live.tier != "full":
            self._metrics.shadow_skipped.inc(int(kept.sum()))
            return
        self._waiting += 1
        score = live.columns["purchase"]["score"][kept]
        self._device.submit(self._run, part_of(features, mine, kept), score, rows[mine])

    def sweep(self, watermark_ms: int) -> None:
        """Grade what silent users left waiting."""
        self._device.submit(lambda: self._grader.sweep(self._held[: self._used], watermark_ms, idle=True))

    def _run(self, features: FeatureBatch, live: NDArray[Any], rows: NDArray[np.int64]) -> None:
        try:
            places = self._places(rows)
            held = gathered(self._held, places)
            first = np.flatnonzero(np.diff(features.row, prepend=-1))
            held["memory"][features.gap_s[first] < 0] = 0  # a new user in a freed place
            features = replace(features, carried=recall(held, self.served.memory))
            made = self.served.scorer.score(features)
            keep(held, self.served.memory, made.carried)
            self._grader.observe(
                self._grade, self.served.config.churn_horizon_s, features, made, rows=places, held=held
            )
            scatter(self._held, places, held)
            self._metrics.shadow_events.inc(len(features))
            self._metrics.shadow_distance.inc(float(np.abs(made.columns["purchase"]["score"] - live).sum()))
        except Exception as error:
            self._failed = True  # it is only a shadow: nobody waits for it
            self._metrics.refused.labels("shadow").inc()
            log.error("the shadow model failed and is off", extra={"model": self.served.label}, exc_info=error)
        finally:
            self._waiting -= 1

    def _places(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places of users in the shadow's own table; new ones at its end."""
        top = int(rows.max())
        if top >= len(self._place):
            grown = np.full(max(top + 1, 2 * len(self._place)), -1, np.int32)
            grown[: len(self._place)] = self._place
            self._place = grown
        new = rows[self._place[rows] < 0]
        self._place[new] = np.arange(self._used, self._used + len(new))
        self._used += len(new)
        if self._used > len(self._held):
            held: Held = np.empty_like(self._held, shape=2 * self._used)
            held.view(np.uint8)[:] = 0
            scatter(held, slice(0, len(self._held)), self._held)
            self._held = held
        return self._place[rows].astype(np.int64)


def part_of(features: FeatureBatch, users: NDArray[np.bool_], kept: NDArray[np.bool_]) -> FeatureBatch:
    """The batch of some of its users (u,), whose events are `kept` (n,)."""
    columns = {
        one.name: getattr(features, one.name)[users if one.name in PER_USER else kept] for one in fields(features)
    }
    return FeatureBatch(**{**columns, "row": (np.cumsum(users) - 1)[columns["row"]]})
