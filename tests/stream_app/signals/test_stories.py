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
from stream_app.state.complaints import TOPICS, complained

T0 = 1_700_000_100_000
SETTINGS = StateSettings()
CARRIED = np.dtype([("state", "f4")])
Told = tuple[str, dict[str, Any]]


def click(second: float, action: str, product: str = "p1") -> Told:
    return "clicks", {"event_time": T0 + int(second * 1000), "action": action, "product_id": product}


def search(second: float, query: str, found: int) -> Told:
    return "searches", {"event_time": T0 + int(second * 1000), "query": query, "total_results": found}


def review(second: float, text: str, feeling: float, rating: int | None = None, product: str = "p1") -> Told:
    """`feeling` is what the model would say."""
    fields = {"event_time": T0 + int(second * 1000), "review_body": text, "rating": rating, "product_id": product}
    return "reviews", {**fields, "event_id": f"{feeling}|{second}"}


def call(second: float, words: str, feeling: float) -> Told:
    fields = {"event_time": T0 + int(second * 1000), "transcript": words}
    return "voice-transcripts", {**fields, "event_id": f"{feeling}|{second}"}


STORIES: dict[tuple[str, ...], list[Told]] = {
    ("cart_abandoned",): [click(0, "view"), click(5, "add_to_cart"), click(60, "view", "p2")],
    ("search_friction", "dead_ends"): [search(0, "grey sofa", 0), search(20, "sofa gray", 0), search(40, "sofa", 12)],
    ("dead_ends",): [search(0, "lamp", 9), click(9, "view"), search(300, "desk lamp", 4), search(600, "bulb", 7)],
    ("rage_clicks", "drop_off"): [click(0.2 * i, "click") for i in range(5)],
    ("drop_off", "bot_suspected"): [click(0.2 * i, "view", f"p{i}") for i in range(100)],
    ("drop_off",): [*[click(40 * i, "view", f"p{i}") for i in range(5)], click(300, "wishlist")],
    ("slow_journey", "drop_off"): [click(150 * i, "view", f"p{i}") for i in range(11)],
    ("negative_sentiment", "contradiction", "complaint"): [
        review(0, "Broke after a day.", -0.2, 5),
        review(60, "Want my money back.", -0.4, 5),
    ],
    ("negative_sentiment", "falling_sentiment", "contradiction"): [
        review(0, "All of it.", 0.0, 5),
        call(600, "it is dreadful", -0.9),
    ],
    ("falling_sentiment",): [review(0, "Love it.", 0.9, 5), call(900, "i am waiting", 0.1)],
    ("negative_sentiment", "complaint"): [review(0, "The lamp arrived damaged, I want a refund.", -0.8, 1)],
    ("complaint",): [review(0, "尺寸偏小", 0.1, 2), review(9, "nice", 0.4)],
    (): [click(0, "view"), click(30, "add_to_cart"), click(90, "purchase"), search(200, "lamp", 9)],
}


def events_of(story: list[Told]) -> EventBatch:
    decoded = []
    for number, (topic, fields) in enumerate(story):
        value = json.dumps({"event_id": f"e{number}", "user_id": "u", **fields}).encode()
        record = Record(topic, 0, number, T0, b"u", value)
        decoded.append(decode([record], event_type=topic, source_input=list(EVENT_TYPES).index(topic)).events)
    return EventBatch.concat(decoded)


def finals(
    events: EventBatch, size: int, *, purchase: float = 0.0, churn: float = 0.0
) -> dict[tuple[int, int], tuple[float, list[str]]]:
    """Score and signals of every final window, by kind and start; the log is read `size` events at a time.

    `purchase` and `churn` are what the model would say of every event.
    """
    state = TaskState(SETTINGS, carried=CARRIED, history=4)
    found: dict[tuple[int, int], tuple[float, list[str]]] = {}
    for start in range(0, len(events), size):
        batch = events.take(slice(start, start + size))
        assert (state.admit(batch, T0 + 10**7).verdict == 0).all()
        rows = state.update(batch)
        told = batch.take(rows.order)
        said = [float(e.partition("|")[0]) if "|" in e else np.nan for e in told.event_id]
        none = np.zeros(len(told), np.float32)
        state.carry(
            rows,
            np.zeros(len(rows.users), CARRIED),
            events=told,
            purchase=none + np.float32(purchase),
            churn=none + np.float32(churn),
            anomaly=none,
            segment=np.zeros(len(told), np.int64),
            sentiment=np.array(said, np.float32),
        )
    windows = state.close(T0 + 10**8)
    score, signals = derive(windows)
    for row, figure, names in zip(windows.rows, score.tolist(), signals, strict=True):
        found[int(row["kind"]), int(row["start_ms"])] = figure, names
    return found


@pytest.mark.parametrize("names", STORIES)
def test_a_real_session_fires_exactly_its_signals_however_it_was_batched(names: tuple[str, ...]) -> None:
    events = events_of(STORIES[names])
    whole = finals(events, len(events))
    _, signals = whole[0, T0]
    assert signals == list(names)
    for size in (1, 2, 3):
        assert finals(events, size) == whole


@pytest.mark.parametrize(
    ("name", "story", "scores"),
    [
        ("hot_lead", [click(0, "view"), click(20, "view", "p2"), click(40, "add_to_cart", "p2")], {"purchase": 0.7}),
        ("churn_risk", [click(0, "view"), call(60, "this is the last time", -0.1)], {"churn": 0.9}),
    ],
)
def test_what_the_model_expects_fires_its_signal(name: str, story: list[Told], scores: dict[str, float]) -> None:
    events = events_of(story)
    whole = finals(events, len(events), **scores)
    assert name in whole[0, T0][1]
    assert name not in finals(events, len(events))[0, T0][1]
    assert finals(events, 1, **scores) == whole


@pytest.mark.parametrize(
    ("text", "topics"),
    [
        ("Still waiting, the courier lost it", ["delivery"]),
        ("收到就坏了，客服不回复，要求退款", ["quality", "service", "returns"]),
        ("El paquete no llegó y nadie responde", ["delivery", "service"]),
        ("Viel zu teuer, fällt klein aus", ["fit", "price"]),
        ("not as described", ["description"]),
        ("I simply do not like it", []),
    ],
)
def test_a_complaint_is_about_what_it_names(text: str, topics: list[str]) -> None:
    assert [topic for topic, named in zip(TOPICS, complained(text), strict=True) if named] == topics
