"""What a prediction, an engagement record and a recommendation cost: `python -m tests.benchmarks.outputs`."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from encoders.behavior import ITEM_ROWS
from encoders.protocol import VECTOR
from fusion.columnar_json import Fields, rows
from fusion.features import PredictionBatch
from fusion.heads import HEADS
from fusion.heads.protocol import Setup
from fusion.recommender import ItemActivity, ItemIndex
from fusion.retrieval import CANDIDATES, Retrieval
from stream_app.events import ACTIONS, EventBatch, decode
from stream_app.insights.ledger import Ledger
from stream_app.outputs.engagement import encode_engagement
from stream_app.outputs.prediction import ModelInfo, encode_predictions
from stream_app.outputs.prediction_id import prediction_ids
from stream_app.records import Record
from stream_app.settings import Insights
from stream_app.signals import derive
from stream_app.state.windows import WINDOW, WindowBatch, blank_window

T0 = 1_700_000_000_000
SEGMENTS = ("browser", "bargain hunter", "loyal", "new")


def events_of(n: int) -> EventBatch:
    """n clicks of n / 4 users."""
    return decode(
        [
            Record(
                "behavior.clicks", 0, i, T0, f"user-{i // 4:06d}".encode(),
                json.dumps(
                    {
                        "event_id": f"e-{i:012d}", "event_time": T0 + i, "user_id": f"user-{i // 4:06d}",
                        "source": "web-shop", "action": "view", "product_id": f"sku-{i % 300}", "platform": "web",
                    }
                ).encode(),
            )
            for i in range(n)
        ],
        event_type="clicks",
        source_input=0,
    ).events  # fmt: skip


def heads() -> dict[str, Any]:
    """Every head; their weights play no part in rendering."""
    setup = Setup(ACTIONS, SEGMENTS, nn.Embedding(4, 64))
    return {name: head(setup) for name, head in HEADS.items()}


def predictions_of(n: int, k: int = 10) -> PredictionBatch:
    """Random columns of the shapes that the heads give."""
    rng = np.random.default_rng(0)
    score = {"score": rng.random(n, np.float32)}
    shares = rng.dirichlet(np.ones(4), n).astype(np.float32)
    scores = rng.dirichlet(np.ones(len(ACTIONS)), n).astype(np.float32)
    products = np.array([f"sku-{i}" for i in range(300)], np.object_)
    return PredictionBatch(
        columns={
            "purchase": score, "churn": score, "anomaly": score,
            "next_action": {"label": scores.argmax(1), "scores": scores},
            "recommendations": {
                "product_id": products[rng.integers(0, 300, (n, k))],
                "score": np.sort(rng.random((n, k), np.float32))[:, ::-1],
            },
            "sentiment": {
                "present": rng.random(n) < 0.3, "label": rng.integers(0, 3, n), "score": rng.random(n, np.float32),
            },
            "segment": {"id": rng.integers(0, 4, n), "distance": rng.random(n, np.float32)},
        },
        modalities=shares,
        carried=np.zeros(n, [("x", "f4")]),
        cold_start=np.zeros(n, np.bool_),
        index_position=12345,
    )  # fmt: skip


def windows_of(n: int) -> WindowBatch:
    """n updates on the way."""
    rng = np.random.default_rng(1)
    rows = np.full(n, blank_window(), WINDOW)
    rows["start_ms"], rows["end_ms"], rows["last_ms"] = T0, T0 + 300_000, T0 + 9_000
    rows["counts"] = rng.integers(0, 4, rows["counts"].shape)
    rows["platforms"] = 1
    rows["scores"]["purchase"] = rng.random(n)
    rows["scores"]["segment"] = 1
    return WindowBatch(rows, [f"user-{i}".encode() for i in range(n)], False, np.zeros(n, np.int64))


def index_of(items: int) -> tuple[ItemIndex, np.ndarray[Any, Any], list[ItemActivity]]:
    """An index that has learned 200,000 popularity-skewed views, the item hashes, and the log."""
    rng = np.random.default_rng(2)
    products = np.array([f"sku-{i}" for i in range(items)], np.object_)
    hashes = rng.integers(1, 2**63, items).astype(np.uint64)
    log = []
    for batch in range(400):
        row = np.minimum((rng.pareto(0.7, 500) * 200).astype(np.int64), items - 1)
        if batch < items // 500:
            row = np.arange(batch * 500, batch * 500 + 500)
        log.append(
            ItemActivity.of(
                products[row], hashes[row],
                session=rng.integers(1, 3000, 500).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15),
                event_time_ms=T0 + batch * 5_000 + np.arange(500), strength=np.ones(500, np.uint8),
            )
        )  # fmt: skip
    index = ItemIndex()
    for offset, record in enumerate(log):
        index.append(offset, record)
    return index, hashes, log


def best_us(work: Callable[[], object], rows: int, repeats: int) -> float:
    """Least CPU microseconds per row over the repeats."""
    took = []
    for _ in range(repeats):
        start = time.thread_time()
        work()
        took.append(time.thread_time() - start)
    return round(min(took) / rows * 1e6, 2)


def measure(n: int, repeats: int) -> dict[str, float]:
    """CPU microseconds per record."""
    events, predictions, made = events_of(n), predictions_of(n), heads()
    zeros = np.zeros(n, np.float32)
    digests = ["0123456789abcdef"] * n

    def encode() -> list[bytes]:
        return encode_predictions(
            events, predictions, heads=made, pipeline="stream-app", model=ModelInfo("fused", "1", "abc"),
            feature_digest=digests, session_start_ms=events.event_time_ms,
            inputs=[f"behavior.{name}" for name in ("clicks", "searches", "reviews", "voice-transcripts")],
            positions=np.zeros((n, 4), np.int64), quality=np.zeros(n, np.uint8), processed_at_ms=T0,
            queue_ms=zeros, inference_ms=4.25, total_ms=zeros,
        )  # fmt: skip

    windows = windows_of(n)
    score, signals = derive(windows)
    index, hashes, log = index_of(10_000)
    rng = np.random.default_rng(3)
    recent = hashes[np.minimum((rng.pareto(0.7, (n, 10)) * 200).astype(np.int64), len(hashes) - 1)]  # as it was learned
    retrieve, towards = Retrieval(nn.Embedding(2 * ITEM_ROWS + 1, VECTOR), index), torch.zeros(n, VECTOR)
    fresh = ItemIndex()
    ledger = Ledger(0, Insights(), tumbling_ms=300_000, grace_ms=60_000, segments=SEGMENTS)
    clicks = [Record("behavior.clicks", 0, i, T0, events.user[i], b'{"category":"lamps"}') for i in range(n)]
    nothing_said = np.full(n, np.nan, np.float32)
    signals_us = best_us(lambda: derive(windows), n, repeats)
    engagement_us = best_us(
        lambda: encode_engagement(windows, score=score, signals=signals, segments=SEGMENTS), n, repeats
    )
    insights_us = best_us(lambda: (ledger.note(events, clicks, nothing_said), ledger.changes()), n, repeats)
    source, event_id = events.source.tolist(), events.event_id.tolist()
    return {
        "prediction_us": best_us(encode, n, repeats),
        "prediction_bytes": round(sum(map(len, encode())) / n),
        "of_it_render_us": best_us(
            lambda: rows(Fields({name: made[name].render(predictions.columns[name]) for name in HEADS}), n), n, repeats
        ),
        "of_it_id_us": best_us(lambda: prediction_ids("p", source, event_id, revision=1), n, repeats),
        "derive_us": signals_us,
        "engagement_us": engagement_us,
        "insights_us": insights_us,
        # an event is in two windows, whose updates on the way are coalesced per batch
        "for_people_us_per_event_at_most": round(2 * (signals_us + engagement_us) + insights_us, 2),
        "recommend_us": best_us(lambda: index.recommend(recent, CANDIDATES), n, repeats),
        "retrieve_us": best_us(lambda: retrieve(towards, recent, 10), n, repeats),
        "index_mb": round(index.knn.size_bytes / 1e6, 1),
        "index_append_us": best_us(lambda: [fresh.append(fresh.position, record) for record in log[:100]], 50_000, 3),
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    print(json.dumps(measure(options.events, options.repeats), indent=2))


if __name__ == "__main__":
    main()
