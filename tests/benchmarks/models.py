"""CPU µs per event that the life of a model adds to a batch: `python -m tests.benchmarks.models [--users 10000]`."""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion.features import FeatureBatch, PredictionBatch
from stream_app.events import ACTIONS
from stream_app.models.drift import Drift
from stream_app.models.grader import PENDING, Grader
from stream_app.models.grades import Grade
from stream_app.models.memory import held_dtype, keep, recall
from stream_app.state import StateSettings, TaskState
from tests.benchmarks.state import CARRIED, HISTORY, stream

HORIZON_S = 14 * 86_400


def answers(features: FeatureBatch, carried: NDArray[np.void], rng: np.random.Generator) -> PredictionBatch:
    """What a scorer might say."""
    n = len(features)
    score = {"score": rng.random(n).astype(np.float32)}
    scores = rng.dirichlet(np.ones(len(ACTIONS)), n).astype(np.float32)
    columns = {**dict.fromkeys(("purchase", "churn", "anomaly"), score), "next_action": {"scores": scores}}
    return PredictionBatch(columns, np.ones((n, 4), np.float32), carried, np.zeros(n, bool), 0)


def measure(*, batch: int, events: int, users: int) -> dict[str, float]:
    """µs per event and step over a warm state; sums over the batches, flushes and sweeps included."""
    rng = np.random.default_rng(7)
    whole = stream(rng, events=events, users=users)
    settings = StateSettings()
    state = TaskState(settings, carried=held_dtype(CARRIED), history=HISTORY)
    grade = Grade("1-abc", 1, ACTIONS)
    grader = Grader({1: grade}, session_gap_ms=settings.session_gap_ms)
    drift = Drift({}, events=20_000)
    spent: dict[str, float] = defaultdict(float)
    counted = 0

    def timed(step: str, call: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        began = time.thread_time()
        answer = call(*arguments, **more)
        spent[step] += time.thread_time() - began
        return answer

    for first in range(0, events, batch):
        if first >= events // 4 and not counted:  # warm by now
            spent.clear()
            counted = events - first
        piece = whole.take(slice(first, first + batch))
        admission = state.admit(piece, int(piece.event_time_ms.max()))
        for segment in admission.segments:
            state.close(segment.watermark_ms)
            accepted = piece.take(segment.index)
            rows = state.update(accepted)
            features, _ = state.features(accepted, rows)
            held = features.carried
            carried = timed("recall", recall, held, 1)
            made = answers(features, carried, rng)
            timed("grade", grader.observe, grade, HORIZON_S, features, made, rows=rows.row_of_user, held=held)
            timed("drift", drift.observe, features, made)
            timed("sweep", grader.sweep, state.carried, segment.watermark_ms)
            timed("keep", keep, held, 1, carried)
        state.close()
        state.open_windows()
        state.changes()
    figures = {step: round(1e6 * seconds / counted, 2) for step, seconds in spent.items()}
    return {
        **figures,
        "total": round(sum(figures.values()), 2),
        "graded": grade.graded("purchase") + grade.graded("next_action"),
        "bytes_per_user": PENDING.itemsize + held_dtype(CARRIED).itemsize - CARRIED.itemsize,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=100_000)
    asked = parser.parse_args()
    for batch in (1024, 512, 64):
        print(json.dumps({"batch": batch, **measure(batch=batch, events=asked.events, users=asked.users)}))


if __name__ == "__main__":
    main()
