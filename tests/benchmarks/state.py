"""CPU µs per event of each step of the state: `python -m tests.benchmarks.state [--users 10000] [--restore 0]`."""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_app.events import ACTIONS, EventBatch
from stream_app.state import ACCEPTED, StateSettings, TaskState, UserRows

START_MS = 1_760_000_000_000
RATE = 100  # events per second of event time
CARRIED = np.dtype([("state", "i1", (128,)), ("means", "f4", (3, 32)), ("scale", "f4")])
HISTORY = 32
ACTION_SHARES = (0.3, 0.25, 0.2, 0.05, 0.01, 0.02, 0.02, 0.1, 0.02, 0.03)
NO_SENTIMENT = 0.9


def stream(rng: np.random.Generator, *, events: int, users: int, items: int = 20_000) -> EventBatch:
    """Events in time order but for a second of disorder; users and items by Zipf-like popularity."""
    n = events
    action = rng.choice(len(ACTIONS), n, p=ACTION_SHARES).astype(np.uint8)
    topic = np.select([action < 7, action == 7, action == 8], [0, 1, 2], 3).astype(np.uint8)
    popular = (users * rng.random(n) ** 2).astype(np.int64)
    product = (items * rng.random(n) ** 3).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1)
    none = np.full(n, None, np.object_)
    said = topic > 0
    priced = action < 7
    return EventBatch(
        topic=topic,
        source_input=topic,
        offset=np.arange(n),
        event_time_ms=START_MS + np.arange(n) * 1000 // RATE - rng.integers(0, 1000, n),
        identity=rng.integers(1, 1 << 63, n, np.uint64),
        user=np.array([b"user-%d" % one for one in popular.tolist()], np.object_),
        event_id=none,
        source=none,
        session_id=none,
        platform=rng.integers(0, 7, n).astype(np.uint8),
        partial=np.zeros(n, np.bool_),
        action=action,
        product=none,
        item=np.where((topic == 0) | (topic == 2), product, np.uint64(0)),
        category=rng.integers(1, 50, n).astype(np.uint64),
        brand=rng.integers(1, 500, n).astype(np.uint64),
        price=np.where(priced, rng.integers(100, 10_000, n) / 100, np.nan),
        currency=np.where(priced, int.from_bytes(b"EUR", "little"), 0).astype(np.uint32),
        quantity=np.ones(n, np.int32),
        position=rng.integers(0, 20, n).astype(np.int32),
        dwell_ms=rng.integers(0, 20_000, n),
        total_results=np.where(topic == 1, rng.integers(0, 30, n), -1).astype(np.int32),
        query_hash=np.where(topic == 1, rng.integers(1, 1 << 40, n), 0).astype(np.uint64),
        rating=np.where(topic == 2, rng.integers(1, 6, n), np.nan).astype(np.float32),
        confidence=np.where(topic == 3, 0.9, np.nan).astype(np.float32),
        text=np.where(said, "warm waterproof hiking boots", None),
        word_confidence=none,
        language=none,
        image=none,
    )


def carry(state: TaskState, told: EventBatch, rows: UserRows, users: int, rng: np.random.Generator) -> None:
    """Write back what a scorer would."""
    score: NDArray[np.float32] = rng.random(len(rows), np.float32)
    sentiment = np.where(score > NO_SENTIMENT, score, np.nan).astype(np.float32)
    carried = np.zeros(users, CARRIED)
    segment = np.zeros(len(rows), np.int64)
    state.carry(
        rows, carried, events=told, purchase=score, churn=score, anomaly=score, segment=segment, sentiment=sentiment
    )


def measure(*, batch: int, events: int, users: int) -> dict[str, float]:
    """µs per event and step over a warm state."""
    rng = np.random.default_rng(7)
    whole = stream(rng, events=events, users=users)
    state = TaskState(StateSettings(), carried=CARRIED, history=HISTORY)
    spent: dict[str, float] = defaultdict(float)
    counted = 0

    def timed(step: str, call: Callable[..., Any], *arguments: Any) -> Any:
        began = time.thread_time()
        answer = call(*arguments)
        spent[step] += time.thread_time() - began
        return answer

    segments = 0
    for first in range(0, events, batch):
        if first >= events // 4 and not counted:  # warm by now
            spent.clear()
            counted, segments = events - first, 0
        piece = whole.take(slice(first, first + batch))
        admission = timed("admit", state.admit, piece, int(piece.event_time_ms.max()))
        segments += len(admission.segments)
        for segment in admission.segments:
            timed("close", state.close, segment.watermark_ms)
            accepted = piece if len(segment.index) == len(piece) else piece.take(segment.index)
            rows = timed("update", state.update, accepted)
            features, _ = timed("features", state.features, accepted, rows)
            began = time.thread_time()
            carry(state, accepted.take(rows.order), rows, len(features.carried), rng)
            spent["carry"] += time.thread_time() - began
        timed("close", state.close)
        timed("open_windows", state.open_windows)
        timed("changes", state.changes)
    figures = {step: round(1e6 * seconds / counted, 2) for step, seconds in spent.items()}
    return {
        **figures,
        "total": round(sum(figures.values()), 2),
        "users": len(state),
        "bytes_per_user": state.memory_bytes() // len(state),
        "segments_per_batch": round(segments / (counted / batch), 2),
    }


def restore(users: int) -> dict[str, float]:
    """Seconds to write out and read back `users` users with windows."""
    rng = np.random.default_rng(7)
    state = TaskState(StateSettings(), carried=CARRIED, history=HISTORY)
    log: dict[bytes, bytes | None] = {}
    for first in range(0, users, 20_000):
        piece = stream(rng, events=20_000, users=users)
        piece.user[:] = [b"user-%d" % (first + one) for one in range(len(piece))]
        piece.event_time_ms[:] += first * 1000 // RATE
        verdict = state.admit(piece, int(piece.event_time_ms.max())).verdict
        accepted = piece.take(np.flatnonzero(verdict == ACCEPTED))
        state.features(accepted, state.update(accepted))
        state.close()
        log.update(state.changes())
    fresh = TaskState(StateSettings(), carried=CARRIED, history=HISTORY)
    pairs = list(log.items())
    began = time.thread_time()
    fresh.restore(pairs)
    took = time.thread_time() - began
    assert len(fresh) == len(state)
    size = sum(len(value or b"") for value in log.values())
    return {"users": len(fresh), "seconds": round(took, 2), "log_bytes_per_user": size // len(fresh)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--restore", type=int, default=0, help="also restore that many users")
    asked = parser.parse_args()
    for batch in (1000, 64):
        events = asked.events if batch > 64 else asked.events // 4
        print(json.dumps({"batch": batch, **measure(batch=batch, events=events, users=asked.users)}))
    if asked.restore:
        print(json.dumps(restore(asked.restore)))


if __name__ == "__main__":
    main()
