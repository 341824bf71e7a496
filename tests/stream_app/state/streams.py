"""Small event streams, and a worker's use of the state over them with any batch limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from fusion.features import NO_ACTION
from stream_app.events import ACTIONS, EventBatch
from stream_app.state import ACCEPTED, StateSettings, TaskState, WindowBatch
from stream_app.state.windows import KINDS, SENTIMENT

SMALL = StateSettings(
    bound_ms=5,
    grace_ms=60,
    session_gap_ms=100,
    tumbling_ms=50,
    idle_input_ms=10_000,
    user_ttl_ms=40_000,
    future_ms=5_000,
)
CARRIED = np.dtype([("events", "i4"), ("mark", "u1")])
HISTORY = 4
NOW_MS = 1_000_000
TOPICS = {"search": 1, "review": 2, "voice": 3}


class Shop(NamedTuple):
    """One event in few words."""

    user: int
    time: int
    identity: int
    source: int = 0
    action: str = "click"
    item: int = 1
    query: int = 0
    price: float = float("nan")
    currency: str = "EUR"
    quantity: int = 1
    dwell: int = 0
    results: int = -1
    platform: int = 0
    partial: bool = False
    text: str | None = None
    image: bytes | None = None

    @property
    def sentiment(self) -> float | None:
        """What a scorer finds in it."""
        return (self.identity % 21 - 10) / 10 if self.action in ("review", "voice") else None


def batch(events: Sequence[Shop]) -> EventBatch:
    """Events as columns."""
    n = len(events)
    none = np.full(n, None, np.object_)

    def column(values: Sequence[Any], dtype: Any) -> Any:
        return np.array(values, dtype)

    def objects(values: Sequence[Any]) -> Any:
        return np.fromiter(values, np.object_, n)

    return EventBatch(
        topic=column([TOPICS.get(e.action, 0) for e in events], np.uint8),
        source_input=column([e.source for e in events], np.uint8),
        offset=np.arange(n),
        event_time_ms=column([e.time for e in events], np.int64),
        identity=column([e.identity for e in events], np.uint64),
        user=objects([b"user-%d" % e.user for e in events]),
        event_id=none,
        source=none,
        session_id=none,
        platform=column([e.platform for e in events], np.uint8),
        partial=column([e.partial for e in events], np.bool_),
        action=column([ACTIONS.index(e.action) for e in events], np.uint8),
        product=none,
        item=column([e.item for e in events], np.uint64),
        category=np.zeros(n, np.uint64),
        brand=np.zeros(n, np.uint64),
        price=column([e.price for e in events], np.float64),
        currency=column([int.from_bytes(e.currency.encode(), "little") for e in events], np.uint32),
        quantity=column([e.quantity for e in events], np.int32),
        position=np.zeros(n, np.int32),
        dwell_ms=column([e.dwell for e in events], np.int64),
        total_results=column([e.results for e in events], np.int32),
        query_hash=column([e.query for e in events], np.uint64),
        rating=np.full(n, np.nan, np.float32),
        confidence=np.full(n, np.nan, np.float32),
        text=objects([e.text for e in events]),
        word_confidence=none,
        language=none,
        image=objects([e.image for e in events]),
    )


@dataclass
class Outcome:
    """Everything that must not depend on where batches were cut."""

    verdicts: list[int] = field(default_factory=list)
    finals: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)  # per accepted event: gap, history, digest
    users: dict[int, Any] = field(default_factory=dict)


def new_state(settings: StateSettings = SMALL, *, inputs: int = 2) -> TaskState:
    """A fresh state."""
    return TaskState(settings, carried=CARRIED, history=HISTORY, inputs=inputs)


def run(
    events: Sequence[Shop], *, limit: int, settings: StateSettings = SMALL, restart_every: int = 0, inputs: int = 2
) -> Outcome:
    """Use the state as the worker does. It is restored from its changelog after every `restart_every` batches."""
    outcome, state = Outcome(), new_state(settings, inputs=inputs)
    log: list[tuple[bytes, bytes | None]] = []
    for number, first in enumerate(range(0, len(events), limit), 1):
        piece = events[first : first + limit]
        admission = state.admit(batch(piece), NOW_MS)
        outcome.verdicts += admission.verdict.tolist()
        for segment in admission.segments:
            outcome.finals += finals(state.close(segment.watermark_ms))
            apply(state, [piece[at] for at in segment.index.tolist()], outcome)
        outcome.finals += finals(state.close())
        state.open_windows()
        log += state.changes()
        if restart_every and number % restart_every == 0:
            state = new_state(settings, inputs=inputs)
            state.restore(log)
    names = {event.user for event in events}
    outcome.users = {user: plain(state.user(f"user-{user}")) for user in names}
    outcome.finals += finals(state.close(1 << 50))
    outcome.finals.sort(key=repr)
    assert not len(state)
    return outcome


def apply(state: TaskState, events: Sequence[Shop], outcome: Outcome) -> None:
    """Update, features, carry; the scorer's part counts events."""
    columns = batch(events)
    rows = state.update(columns)
    features, digests = state.features(columns, rows)
    assert features.row.tolist() == rows.row.tolist()
    seen: list[dict[str, Any]] = [{} for _ in events]
    before = [
        [(int(i), int(a), int(t)) for i, a, t in zip(items, actions, times, strict=True) if a != NO_ACTION]
        for items, actions, times in zip(
            features.history_item, features.history_action, features.history_time_ms, strict=True
        )
    ]
    carried = features.carried.copy()
    marks = carried["events"].tolist()
    for at, (place, row) in enumerate(zip(rows.order.tolist(), rows.row.tolist(), strict=True)):
        event = events[place]
        assert rows.users[row] == b"user-%d" % event.user
        seen[place] = {
            "gap_s": round(float(features.gap_s[at]), 3),
            "history": before[row][-HISTORY:],
            "digest": digests[at],
            "carried": marks[row],
        }
        marks[row] += 1
        before[row] = [*before[row], (event.item, ACTIONS.index(event.action), event.time)]
    carried["events"] = marks
    ordered = [events[place] for place in rows.order.tolist()]
    score = np.array([event.identity % 100 / 100 for event in ordered], np.float32)
    sentiment = np.array([np.nan if (s := e.sentiment) is None else s for e in ordered], np.float32)
    segment = np.array([event.identity % 5 for event in ordered])
    told = columns.take(rows.order)
    state.carry(
        rows, carried, events=told, purchase=score, churn=score, anomaly=score, segment=segment, sentiment=sentiment
    )
    outcome.events += seen


def finals(windows: WindowBatch) -> list[dict[str, Any]]:
    """A batch of final records as plain values."""
    assert windows.is_final
    return [described(windows, at) for at in range(len(windows))]


def described(windows: WindowBatch, at: int) -> dict[str, Any]:
    """One window as plain values."""
    row = windows.rows[at]
    return {
        "user": windows.users[at].decode(),
        "kind": KINDS[row["kind"]],
        "start": int(row["start_ms"]),
        "end": int(row["end_ms"]),
        "first": int(row["first_ms"]),
        "last": int(row["last_ms"]),
        "revision": int(windows.revision[at]),
        "supersedes": sorted(tuple(final) for final in windows.supersedes.get(at, ())),
        "counts": {name: n for name, n in zip(ACTIONS, row["counts"].tolist(), strict=True) if n},
        "dwell": int(row["dwell_ms"]),
        "known": int(row["known_searches"]),
        "zero": int(row["zero_results"]),
        "reformulations": int(row["reformulations"]),
        "rage": int(row["rage_clicks"]),
        "revenue": windows.revenue(at),
        "products": int(windows.unique_products()[at]),
        "platforms": windows.platforms(at),
        "sentiment": (int(row["sentiment_sum"]) / SENTIMENT, int(row["sentiment_count"])),
        "purchase": round(float(row["scores"]["purchase"]), 2),
        "segment": int(row["scores"]["segment"]),
    }


def plain(user: dict[str, Any] | None) -> Any:
    """A user's snapshot with its windows in one order."""
    return user and {**user, "windows": sorted(user["windows"], key=repr)}


__all__ = ["ACCEPTED", "CARRIED", "HISTORY", "NOW_MS", "SMALL", "Outcome", "Shop", "apply", "batch", "described"]
