"""Signals over real windows: events in, through the state, signals out, however the log was cut into batches."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from stream_app.events import EVENT_TYPES, EventBatch, decode
from stream_app.records import Record
from stream_app.signals import derive
from stream_app.state import StateSettings, TaskState

T0 = 1_700_000_100_000
SETTINGS = StateSettings()
Told = tuple[str, dict[str, Any]]


def click(second: float, action: str, product: str = "p1") -> Told:
    return "clicks", {"event_time": T0 + int(second * 1000), "action": action, "product_id": product}


def search(second: float, query: str, found: int) -> Told:
    return "searches", {"event_time": T0 + int(second * 1000), "query": query, "total_results": found}


STORIES: dict[str, list[Told]] = {
    "cart_abandoned": [click(0, "view"), click(5, "add_to_cart"), click(60, "view", "p2")],
    "search_friction": [search(0, "grey sofa", 0), search(20, "sofa gray", 0), search(40, "sofa", 12)],
    "rage_clicks": [click(0.2 * i, "click") for i in range(5)],
    "bot_suspected": [click(0.2 * i, "view", f"p{i}") for i in range(100)],
    "": [click(0, "view"), click(30, "add_to_cart"), click(90, "purchase"), search(200, "lamp", 9)],
}


def events_of(story: list[Told]) -> EventBatch:
    decoded = []
    for number, (topic, fields) in enumerate(story):
        value = json.dumps({"event_id": f"e{number}", "user_id": "u", **fields}).encode()
        record = Record(topic, 0, number, T0, b"u", value)
        decoded.append(decode([record], event_type=topic, source_input=list(EVENT_TYPES).index(topic)).events)
    return EventBatch.concat(decoded)


def finals(events: EventBatch, size: int) -> dict[tuple[int, int], tuple[float, list[str]]]:
    """Score and signals of every final window, by kind and start; the log is read `size` events at a time."""
    state = TaskState(SETTINGS, carried=np.dtype([("state", "f4")]), history=4)
    found: dict[tuple[int, int], tuple[float, list[str]]] = {}
    for start in range(0, len(events), size):
        batch = events.take(slice(start, start + size))
        assert (state.admit(batch, T0 + 10**6).verdict == 0).all()
        state.update(batch)
    windows = state.close(T0 + 10**8)
    score, signals = derive(windows)
    for row, figure, names in zip(windows.rows, score.tolist(), signals, strict=True):
        found[int(row["kind"]), int(row["start_ms"])] = figure, names
    return found


@pytest.mark.parametrize("name", STORIES)
def test_a_real_session_fires_exactly_its_signal_however_it_was_batched(name: str) -> None:
    events = events_of(STORIES[name])
    whole = finals(events, len(events))
    _, signals = whole[0, T0]
    assert signals == [name] * bool(name)
    for size in (1, 2, 3):
        assert finals(events, size) == whole
