"""The ledger over real windows: the same parts however the log was cut and whenever the task was restarted."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import numpy as np
import pytest

from stream_app.errors import SettingsError
from stream_app.events import EVENT_TYPES, EventBatch, decode
from stream_app.insights import METRICS
from stream_app.insights.ledger import OWN, Ledger
from stream_app.insights.part import Part, merge
from stream_app.records import Record
from stream_app.settings import Insights
from stream_app.state import StateSettings, TaskState

T0 = 1_700_000_400_000
HOUR = 3_600_000
SETTINGS = Insights(min_users=3)
CARRIED = np.dtype([("state", "f4")])
Told = tuple[str, dict[str, Any]]


def day(users: int = 12, events: int = 400) -> list[Told]:
    """Two hours of shoppers in event-time order."""
    dice, told = Random(3), []
    for at in range(events):
        common = {"event_time": T0 + at * 2 * HOUR // events, "user_id": f"u{dice.randrange(users)}"}
        match dice.randrange(5):
            case 0:
                told.append(("searches", {**common, "query": dice.choice(["Lamp", " lamp ", f"rare {at}"])}))
            case 1:
                review = {"product_id": f"p{dice.randrange(4)}", "review_body": "so so", "rating": dice.randrange(1, 6)}
                told.append(("reviews", {**common, **review}))
            case _:
                product = dice.randrange(4)
                action = dice.choice(["view", "view", "add_to_cart", "purchase"])
                click = {"action": action, "product_id": f"p{product}", "category": f"c{product % 2}"}
                told.append(("clicks", {**common, **click}))
    return told


def record(number: int, topic: str, fields: dict[str, Any]) -> Record:
    value = json.dumps({"event_id": f"e{number}", **fields}).encode()
    return Record(topic, 0, number, T0, fields["user_id"].encode(), value)


def ledger() -> Ledger:
    return Ledger(0, SETTINGS, tumbling_ms=300_000, grace_ms=60_000, segments=("a", "b"))


def parts_of(story: list[Told], *, size: int, restart_every: int = 0) -> dict[bytes, Part]:
    """The last part per key; the log is read `size` events at a time."""
    state, book = TaskState(StateSettings(), carried=CARRIED, history=4), ledger()
    kept: dict[bytes, bytes] = {}
    found: list[Part] = []
    for number, first in enumerate(range(0, len(story), size)):
        records = [record(first + n, *told) for n, told in enumerate(story[first : first + size])]
        events = EventBatch.concat(
            [decode([r], event_type=r.topic, source_input=list(EVENT_TYPES).index(r.topic)).events for r in records]
        )
        admission = state.admit(events, T0 + 10**8)
        for segment in admission.segments:
            found += book.settle(state.close(segment.watermark_ms))
            part = events.take(segment.index)
            rows = state.update(part)
            none = np.zeros(len(part), np.float32)
            said = ((part.rating - 3) / 2).astype(np.float32)
            state.carry(
                rows,
                np.zeros(len(rows.users), CARRIED),
                events=part.take(rows.order),
                purchase=none,
                churn=none,
                anomaly=none,
                segment=np.zeros(len(part), np.int64),
                sentiment=said[rows.order],
            )
            book.note(part, [records[at] for at in segment.index.tolist()], said)
        found += book.settle(state.close())
        found += book.expire(state.watermark_ms)
        for key, value in book.changes():
            kept.pop(key, None)
            if value is not None:
                kept[key] = value
        if restart_every and number % restart_every == 0:
            book = ledger()
            book.restore(kept.items())
    found += book.settle(state.tick(T0 + 10**10))
    found += book.settle(state.close(T0 + 10**9))
    found += book.expire(T0 + 10**9)
    return {part.record_key(): part for part in found}


def test_every_metric_of_every_window_is_published_and_final() -> None:
    parts = parts_of(day(), size=50)
    assert {part.metric for part in parts.values()} == set(METRICS)
    assert len(parts) == len(METRICS) * len({part.window.start for part in parts.values()})
    assert all(part.window.is_final for part in parts.values())


@pytest.mark.parametrize(("size", "restart_every"), [(1, 0), (7, 0), (400, 0), (7, 1), (50, 2)])
def test_batches_and_restarts_change_nothing(size: int, restart_every: int) -> None:
    story = day()
    assert parts_of(story, size=size, restart_every=restart_every) == parts_of(story, size=33)


def test_what_few_did_is_withheld_and_queries_are_folded() -> None:
    merged = {(part.metric, part.window.start): part for part in merge(parts_of(day(), size=50).values())}
    queries = [part for (metric, _), part in merged.items() if metric == "trending_queries"]
    assert {cell.key for part in queries for cell in part.cells} == {"lamp"}
    assert sum(part.withheld for part in queries) > 10
    assert all(cell.users >= 3 for part in merged.values() for cell in part.cells)


def test_a_funnel_narrows_and_mood_is_per_category() -> None:
    merged = merge(parts_of(day(), size=50).values())
    funnel = next(part for part in merged if part.metric == "funnel" and part.cells)
    assert [cell.users for cell in funnel.cells] == sorted((cell.users for cell in funnel.cells), reverse=True)
    mood = [cell for part in merged if part.metric == "category_sentiment" for cell in part.cells]
    assert {cell.key for cell in mood} <= {"c0", "c1", "unknown"}
    assert all(cell.mean is not None and -1 <= cell.mean <= 1 for cell in mood)


def test_two_tasks_merged_say_what_one_would() -> None:
    story = day(users=40, events=2_000)
    halves = [[told for told in story if int(told[1]["user_id"][1:]) % 2 == half] for half in (0, 1)]
    both = merge([part for half in halves for part in parts_of(half, size=50).values()])
    whole = merge(parts_of(story, size=50).values())
    for one, other in zip(both, whole, strict=True):
        if one.metric in ("funnel", "trending_items", "segments"):
            assert {cell.key: cell.users for cell in one.cells} == {cell.key: cell.users for cell in other.cells}


def test_its_keys_are_its_own_and_its_window_must_fit() -> None:
    book = ledger()
    assert all(key.startswith(OWN) for key, _ in book.changes())
    with pytest.raises(SettingsError, match="window_ms"):
        Ledger(0, Insights(window_ms=400_000), tumbling_ms=300_000, grace_ms=0, segments=())
