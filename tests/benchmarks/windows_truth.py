"""Work `windows`: the clicks that every system reads, and what must come out of them, counted one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import orjson

from stream_app.records import OutputRecord, RecordLike

SIZE_MS = 300_000
ACTIONS = ("view", "add_to_cart", "purchase")
USERS, ITEMS = 20_000, 5_000
FIELDS = ("user_id", "window_start", "count", "dwell_sum", "carts", "purchases")
Expected = dict[str, tuple[str, int, int, int, int, int]]
"""Event id → user, window start, count, dwell, carts, purchases."""


def clicks(
    topic: str, events: int, *, first_ms: int, span_ms: int = 5 * SIZE_MS, seed: int = 1
) -> Iterator[OutputRecord]:
    """Clicks of 20,000 users (Zipf 0.8: the first makes 1.5 % of them) over five windows of event time."""
    rng = np.random.default_rng(seed)
    weight = 1.0 / np.arange(1, USERS + 1) ** 0.8
    users, items = rng.choice(USERS, events, p=weight / weight.sum()), rng.integers(0, ITEMS, events)
    actions, dwell_ms = rng.choice(3, events, p=[0.85, 0.11, 0.04]), rng.integers(0, 60_000, events)
    times_ms = first_ms + np.arange(events) * span_ms // max(events, 1)
    columns = zip(users.tolist(), items.tolist(), actions.tolist(), dwell_ms.tolist(), times_ms.tolist(), strict=True)
    for at, (user, item, action, dwell, time_ms) in enumerate(columns):
        yield click(topic, f"e{at}", user=user, item=item, action=action, dwell_ms=dwell, time_ms=time_ms)


def click(topic: str, event_id: str, *, user: int, item: int, action: int, dwell_ms: int, time_ms: int) -> OutputRecord:
    """One click as JSON, keyed by user."""
    value = {
        "event_id": event_id,
        "user_id": f"u{user}",
        "item_id": f"i{item}",
        "event_time": time_ms,
        "type": ACTIONS[action],
        "dwell_ms": dwell_ms,
    }
    return OutputRecord(topic, f"u{user}".encode(), orjson.dumps(value))


def truth(records: Iterable[RecordLike]) -> Expected:
    """What every event of the input topic must answer; a user's records lie in one partition, in order."""
    sums: dict[tuple[str, int], list[int]] = {}
    expected: Expected = {}
    for record in records:
        event = orjson.loads(record.value or b"")
        start = event["event_time"] // SIZE_MS * SIZE_MS
        held = sums.setdefault((event["user_id"], start), [0, 0, 0, 0])
        held[0] += 1
        held[1] += event["dwell_ms"]
        held[2] += event["type"] == "add_to_cart"
        held[3] += event["type"] == "purchase"
        expected[event["event_id"]] = (event["user_id"], start, held[0], held[1], held[2], held[3])
    return expected


@dataclass(frozen=True)
class Verdict:
    """The outputs of one system against the truth."""

    outputs: int
    different: int
    repeated: int
    unknown: int
    missing: int
    """Of events that should have been answered; not counted where the system was stopped at its time limit."""

    @property
    def wrong(self) -> int:
        """Everything that is not as it must be."""
        return self.different + self.repeated + self.unknown + self.missing


def judge(expected: Expected, outputs: Iterable[RecordLike], *, complete: bool) -> Verdict:
    """Compare every output; `complete`: every event must have its own."""
    seen: Counter[str] = Counter()
    different = unknown = 0
    for record in outputs:
        found = orjson.loads(record.value or b"null")
        event_id = found["event_id"]
        seen[event_id] += 1
        wanted = expected.get(event_id)
        if wanted is None:
            unknown += 1
        elif wanted != tuple(found[name] for name in FIELDS):
            different += 1
    repeated = sum(seen.values()) - len(seen)
    missing = len(expected.keys() - seen.keys()) if complete else 0
    return Verdict(sum(seen.values()), different, repeated, unknown, missing)
