"""Engagement records: what the contract names, null where there is nothing to say."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest

from stream_app.events import ACTIONS, PLATFORMS
from stream_app.outputs.engagement import Engagement, encode_engagement
from stream_app.signals import derive
from stream_app.state.windows import MONEY, SENTIMENT, WINDOW, Final, WindowBatch, blank_window

T0 = 1_700_000_000_000
SEGMENTS = ("browser", "loyal")
FIELDS = [
    "user_id", "window", "revision", "supersedes", "event_time", "counts", "searches", "reviews", "voice_segments",
    "dwell_ms", "unique_products", "zero_result_rate", "query_reformulations", "rage_clicks", "ctr", "add_to_cart",
    "purchases", "revenue", "conversion", "cart_abandoned", "sentiment_mean", "platforms", "engagement_score",
    "segment", "signals", "funnel_step", "complaint_topics", "next_best_action",
]  # fmt: skip


def empty(n: int = 1, *, is_final: bool = False, **more: Any) -> WindowBatch:
    rows = np.full(n, blank_window(), WINDOW)
    rows["start_ms"], rows["end_ms"], rows["last_ms"] = T0, T0 + 300_000, T0 + 1
    rows["kind"] = 1
    return WindowBatch(rows, ["ü".encode()] * n, is_final, np.full(n, int(is_final), np.int64), **more)


def encoded(windows: WindowBatch) -> list[dict[str, Any]]:
    score, signals = derive(windows)
    records = encode_engagement(windows, score=score, signals=signals, segments=SEGMENTS)
    return [json.loads(record) for record in records]


def test_a_window_without_anything_is_null_safe() -> None:
    (record,) = encoded(empty())
    assert list(record) == FIELDS
    nothing = ("zero_result_rate", "ctr", "conversion", "sentiment_mean", "segment")
    assert [record[name] for name in nothing] == [None] * 5
    assert (record["revenue"], record["platforms"], record["signals"], record["supersedes"]) == ({}, [], [], [])
    assert record["counts"] == dict.fromkeys(ACTIONS, 0)
    assert record["user_id"] == "ü"
    assert record["window"] == {
        "type": "tumbling",
        "start": "2023-11-14T22:13:20.000Z",
        "end": "2023-11-14T22:18:20.000Z",
        "is_final": False,
    }
    assert record["event_time"] == "2023-11-14T22:13:20.001Z"


def test_figures_are_those_of_the_window() -> None:
    windows = empty(is_final=True)
    row = windows.rows[0]
    for action, count in {"impression": 8, "view": 3, "click": 2, "add_to_cart": 2, "purchase": 1, "search": 3}.items():
        row["counts"][ACTIONS.index(action)] = count
    row["known_searches"], row["zero_results"], row["reformulations"], row["rage_clicks"] = 3, 1, 2, 1
    row["sentiment_count"], row["sentiment_sum"] = 2, -SENTIMENT
    row["currency"][:2] = [int.from_bytes(code, "little") for code in (b"CNY", b"USD")]
    row["revenue"][:2] = 12 * MONEY, 1999 * MONEY // 100
    row["platforms"] = 1 << PLATFORMS.index("ios") | 1
    row["product_count"], row["scores"]["segment"] = 4, 1
    (record,) = encoded(windows)
    assert record["revenue"] == {"CNY": 12.0, "USD": 19.99}
    assert record["platforms"] == ["web", "ios"]
    assert (record["ctr"], record["conversion"], record["zero_result_rate"]) == (0.25, 0.2, 0.3333)
    assert (record["sentiment_mean"], record["segment"], record["unique_products"]) == (-0.5, "loyal", 4)
    assert (record["searches"], record["add_to_cart"], record["purchases"], record["revision"]) == (3, 2, 1, 1)
    assert {"rage_clicks", "negative_sentiment"} <= set(record["signals"])


def test_an_abandoned_cart_is_said_once_the_session_is_over() -> None:
    for is_final in (False, True):
        windows = empty(is_final=is_final)
        windows.rows["kind"] = 0
        windows.rows["counts"][:, ACTIONS.index("add_to_cart")] = 1
        (record,) = encoded(windows)
        assert record["cart_abandoned"] is is_final
        assert ("cart_abandoned" in record["signals"]) is is_final


def test_a_merged_session_names_what_it_supersedes() -> None:
    records = encoded(empty(2, is_final=True, supersedes={1: (Final(T0, T0 + 1000, 2),)}))
    assert [record["supersedes"] for record in records] == [
        [],
        [{"start": "2023-11-14T22:13:20.000Z", "end": "2023-11-14T22:13:21.000Z", "revision": 2}],
    ]


def test_a_segment_that_the_model_does_not_name_is_null() -> None:
    windows = empty()
    windows.rows["scores"]["segment"] = 9
    assert encoded(windows)[0]["segment"] is None


def test_records_are_of_their_type_and_alone_equal_in_a_batch() -> None:
    rng = np.random.default_rng(0)
    windows = empty(20)
    windows.rows["counts"] = rng.integers(0, 5, windows.rows["counts"].shape)
    score, signals = derive(windows)
    records = encode_engagement(windows, score=score, signals=signals, segments=SEGMENTS)
    for index, record in enumerate(records):
        msgspec.json.decode(record, type=Engagement, strict=True)
        single = WindowBatch(windows.rows[[index]], [windows.users[index]], False, windows.revision[[index]])
        alone = encode_engagement(single, score=score[[index]], signals=[signals[index]], segments=SEGMENTS)
        assert alone == [record]


@pytest.mark.parametrize("n", [0, 1])
def test_no_windows_no_records(n: int) -> None:
    assert len(encoded(empty(n))) == n
