"""The live hub: bounded, coalesced, free while nobody watches, and without personal text."""

import asyncio
import time
from importlib.resources import files
from typing import Any

import numpy as np
import orjson
import pytest

from stream_app.insights.part import Cell, Part
from stream_app.metrics import Metrics
from stream_app.outputs.engagement import Window
from stream_app.records import OutputRecord
from stream_app.web import Live, Status
from stream_app.web.live import SHOWN_PREDICTIONS, SHOWN_SIGNALS

SECRET = "my very private query"


def prediction(user: str = "shopper-1", **changes: Any) -> OutputRecord:
    body = {
        "user_id": user,
        "session_id": SECRET,
        "outputs": {
            "purchase": {"score": 0.7},
            "next_action": {"label": "add_to_cart", "scores": {}},
            "recommendations": [{"product_id": f"p{k}", "score": 0.5, "rank": k} for k in range(10)],
        },
        "modalities": {"behavior": 0.6, "text": 0.4},
        "cold_start": False,
        "query": SECRET,
        "properties": {"review_body": SECRET},
    }
    return OutputRecord("behavior.predictions", user.encode(), orjson.dumps(body | changes))


def engagement(user: str, *signals: str, start: int = 0, kind: str = "session") -> OutputRecord:
    body = {"user_id": user, "window": {"type": kind, "start": start}, "signals": signals}
    return OutputRecord("behavior.engagement", user.encode(), orjson.dumps(body))


@pytest.fixture
def live() -> Live:
    metrics = Metrics()
    return Live(metrics, Status(metrics))


async def first(live: Live) -> dict[str, Any]:
    watcher = live.watch()
    snapshot = orjson.loads(await anext(watcher))
    await watcher.aclose()
    return snapshot  # type: ignore[no-any-return]


async def test_an_idle_hub_shows_zeros_and_no_error(live: Live) -> None:
    snapshot = await first(live)
    assert snapshot["types"]["clicks"] == {"total": 0, "rate": 0.0}
    assert snapshot["latency_ms"] == {"p50": None, "p99": None}
    assert snapshot["predictions"] == snapshot["signals"] == []
    assert snapshot["reasons"] == ["waiting for the first assignment"]


async def test_nothing_runs_while_nobody_watches(live: Live) -> None:
    before = asyncio.all_tasks()
    watched = [live.watched]
    watcher = live.watch()
    await anext(watcher)
    watched.append(live.watched)
    await watcher.aclose()
    assert [*watched, live.watched] == [False, True, False]
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_a_prediction_shows_scores_and_shares_but_no_text_and_no_user_id(live: Live) -> None:
    live.feed([prediction()])
    snapshot = await first(live)
    (shown,) = snapshot["predictions"]
    assert shown["purchase"] == 0.7
    assert shown["next_action"] == "add_to_cart"
    assert shown["recommended"] == ["p0", "p1", "p2"]
    assert shown["modalities"] == {"behavior": 0.6, "text": 0.4}
    assert len(shown["user"]) == 6
    assert SECRET not in str(snapshot)
    assert "shopper-1" not in str(snapshot)


async def test_a_head_that_says_nothing_is_not_shown(live: Live) -> None:
    live.feed(
        [prediction(outputs={"purchase": None, "churn": {"score": 0.1}}, modalities={"behavior": 1.0, "text": None})]
    )
    (shown,) = (await first(live))["predictions"]
    assert shown["churn"] == 0.1
    assert "purchase" not in shown
    assert shown["modalities"] == {"behavior": 1.0}


def test_every_field_shown_is_in_the_contract() -> None:
    schema = orjson.loads(files("stream_app.schemas").joinpath("predictions.json").read_bytes())
    assert {"user_id", "outputs", "modalities", "cold_start"} <= schema["properties"].keys()
    heads = schema["$defs"]["Outputs"]["properties"].keys()
    assert {"purchase", "churn", "anomaly", "next_action", "sentiment", "segment", "recommendations"} <= heads


async def test_one_user_has_one_name_on_the_page_and_another_one_in_the_next_process(live: Live) -> None:
    live.feed([engagement("ann", "hot_lead"), engagement("ann", "churn_risk"), engagement("bob", "hot_lead")])
    ann, ann_again, bob = (s["user"] for s in (await first(live))["signals"])
    assert ann == ann_again != bob
    metrics = Metrics()
    other = Live(metrics, Status(metrics))
    other.feed([engagement("ann", "hot_lead")])
    assert (await first(other))["signals"][0]["user"] != ann


async def test_a_signal_is_news_once_per_session(live: Live) -> None:
    live.feed([engagement("ann", "hot_lead"), engagement("ann", "hot_lead"), engagement("ann")])
    live.feed([engagement("ann", "hot_lead", start=900), engagement("bob", "hot_lead")])
    live.feed([engagement("ann", "hot_lead", start=300, kind="tumbling")])
    assert len((await first(live))["signals"]) == 3


async def test_everything_kept_is_bounded(live: Live) -> None:
    for k in range(60):
        live.feed([prediction(f"u{k}-{j}") for j in range(50)])
        live.feed([engagement(f"u{k}-{j}", "hot_lead") for j in range(50)])
    snapshot = await first(live)
    assert len(snapshot["predictions"]) <= SHOWN_PREDICTIONS
    assert len(snapshot["signals"]) <= SHOWN_SIGNALS


async def test_snapshots_come_at_most_four_times_a_second_and_a_slow_watcher_misses_some(live: Live) -> None:
    fast, slow = live.watch(), live.watch()
    await asyncio.gather(anext(fast), anext(slow))
    start_s, seen = time.monotonic(), []
    for k in range(5):
        live.feed([prediction(f"u{k}")])
        seen.append(orjson.loads(await anext(fast))["predictions"][-1]["id"])
    assert time.monotonic() - start_s > 0.9
    assert seen == [1, 2, 3, 4, 5]
    assert orjson.loads(await anext(slow))["predictions"][-1]["id"] >= 4
    await fast.aclose()
    await slow.aclose()


async def test_rates_and_latency_come_from_the_metrics() -> None:
    metrics = Metrics()
    live = Live(metrics, Status(metrics))
    watcher = live.watch()
    await anext(watcher)
    metrics.observe_batch(
        consumed={"clicks": 100},
        verdicts={("clicks", "predicted"): 90, ("clicks", "late"): 10},
        arrival_ms=np.full(90, 1_700_000_000_000),
        committed_ms=1_700_000_000_035,
    )
    snapshot = orjson.loads(await anext(watcher))
    assert snapshot["types"]["clicks"]["total"] == 100
    assert 100 / 1.0 < snapshot["types"]["clicks"]["rate"] <= 100 / 0.25
    assert 30 <= snapshot["latency_ms"]["p50"] <= snapshot["latency_ms"]["p99"] <= 40
    assert snapshot["verdicts"]["late"] == 10
    await watcher.aclose()


async def test_closing_ends_every_watcher(live: Live) -> None:
    watcher = live.watch()
    await anext(watcher)
    live.close()
    assert [snapshot async for snapshot in watcher] == []
    assert live.full


async def test_the_newest_window_that_says_enough_is_shown(live: Live) -> None:
    def part(start: str, *keys: str) -> Part:
        cells = [Cell(key, 5, 5) for key in keys]
        return Part("trending_items", Window("tumbling", start, "", False), None, 5, 1.0, 0, cells)

    old, full, begun, empty = part("1", "a"), part("2", *"abcdef"), part("3", "x"), part("4")
    live.insights = lambda: [empty, begun, full, old]
    assert [len(shown["cells"]) for shown in (await first(live))["insights"]] == [6]
    live.insights = lambda: [empty, part("3", *"xyz"), full, old]
    assert [len(shown["cells"]) for shown in (await first(live))["insights"]] == [3]
