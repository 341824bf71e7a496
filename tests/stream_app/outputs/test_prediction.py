"""Prediction records: what the contract names, the same bytes alone as in a batch."""

from __future__ import annotations

import json
import uuid
from typing import Any

import msgspec
import numpy as np
import pytest
from torch import nn

from fusion.features import PredictionBatch
from fusion.heads import HEADS
from fusion.heads.protocol import Setup
from stream_app.events import ACTIONS, EventBatch, decode
from stream_app.outputs.prediction import (
    QUALITY_FLAGS,
    ModelInfo,
    Prediction,
    encode_predictions,
    quality_bit,
)
from stream_app.outputs.prediction_id import NAMESPACE, prediction_ids
from stream_app.records import Record

T0 = 1_700_000_000_000
INPUTS = ("behavior.clicks", "behavior.searches")
SEGMENTS = ("browser", "loyal")
FIELDS = [
    "prediction_id", "event_id", "user_id", "session_id", "source", "event_time", "processed_at", "latency_ms",
    "model", "feature_digest", "outputs", "modalities", "positions", "tier", "cold_start", "quality_flags",
    "revision", "supersedes",
]  # fmt: skip


def clicks(*given: dict[str, Any]) -> EventBatch:
    events = [
        {"event_id": f"e{i}", "event_time": T0 + i, "user_id": f"ü{i}", "action": "view", "product_id": "p", **more}
        for i, more in enumerate(given)
    ]
    records = [
        Record("behavior.clicks", 0, i, T0, event["user_id"].encode(), json.dumps(event).encode())
        for i, event in enumerate(events)
    ]
    decoded = decode(records, event_type="clicks", source_input=0)
    assert not decoded.rejected
    return decoded.events


def scored(n: int) -> PredictionBatch:
    rng = np.random.default_rng(n)
    score = {"score": rng.random(n, np.float32)}
    shares = rng.dirichlet(np.ones(4), n).astype(np.float32)
    product = np.full((n, 3), None, np.object_)
    product[:, :2] = "p1", "p2"
    return PredictionBatch(
        columns={
            "purchase": score,
            "churn": score,
            "anomaly": score,
            "next_action": {
                "label": np.zeros(n, np.int64),
                "scores": np.full((n, len(ACTIONS)), 0.1, np.float32),
            },
            "recommendations": {"product_id": product, "score": np.full((n, 3), 0.5, np.float32)},
            "sentiment": {
                "present": np.arange(n) % 2 == 1,
                "label": np.zeros(n, np.int64),
                "score": np.full(n, -0.75, np.float32),
            },
            "segment": {"id": np.ones(n, np.int64), "distance": np.full(n, 0.25, np.float32)},
        },
        modalities=shares,
        carried=np.zeros(n, [("state", "f4")]),
        cold_start=np.arange(n) == 0,
        index_position=77,
    )


def encoded(events: EventBatch, predictions: PredictionBatch, **more: Any) -> list[bytes]:
    n = len(events)
    setup = Setup(ACTIONS, SEGMENTS, nn.Embedding(2, 64))
    return encode_predictions(
        events,
        predictions,
        **{
            "heads": {name: head(setup) for name, head in HEADS.items()},
            "pipeline": "shop",
            "model": ModelInfo("fused", "1.0", "abc"),
            "feature_digest": [f"d{i}" for i in range(n)],
            "session_start_ms": np.full(n, T0 - 5),
            "inputs": INPUTS,
            "positions": np.arange(2 * n).reshape(n, 2),
            "quality": np.zeros(n, np.uint8),
            "processed_at_ms": T0 + 1500,
            "queue_ms": np.full(n, 1.26, np.float32),
            "inference_ms": 4.2,
            "total_ms": np.full(n, 7.04, np.float32),
            **more,
        },
    )


def test_a_record_says_what_the_contract_names() -> None:
    quality = quality_bit("image_unreadable") | quality_bit("time_in_grace")
    events = clicks({"source": "web", "session_id": "s1"}, {})
    first, second = (
        json.loads(record) for record in encoded(events, scored(2), quality=np.array([quality, 0], np.uint8))
    )
    assert list(first) == FIELDS
    assert (first["event_id"], first["user_id"], first["session_id"], first["source"]) == ("e0", "ü0", "s1", "web")
    assert first["event_time"] == "2023-11-14T22:13:20.000Z"
    assert first["processed_at"] == "2023-11-14T22:13:21.500Z"
    assert first["latency_ms"] == {"queue": 1.3, "inference": 4.2, "total": 7.0}
    assert first["model"] == {"name": "fused", "version": "1.0", "digest": "abc"}
    assert second["positions"] == {"behavior.clicks": 2, "behavior.searches": 3, "items_index": 77}
    assert (first["quality_flags"], second["quality_flags"]) == (["image_unreadable", "time_in_grace"], [])
    assert (first["cold_start"], second["cold_start"], first["tier"]) == (True, False, "full")
    assert (second["feature_digest"], second["revision"], second["supersedes"]) == ("d1", 1, None)
    assert (second["source"], second["session_id"]) == (None, f"ü1|{T0 - 5}")


def test_outputs_have_one_field_per_head_and_none_where_nothing_was_said() -> None:
    silent, spoken = (json.loads(record)["outputs"] for record in encoded(clicks({}, {}), scored(2)))
    assert set(spoken) == set(HEADS)
    assert set(HEADS) - set(silent) == {"sentiment"}
    assert spoken["sentiment"] == {"label": "negative", "score": -0.75}
    assert spoken["recommendations"] == [
        {"product_id": "p1", "score": 0.5, "rank": 1},
        {"product_id": "p2", "score": 0.5, "rank": 2},
    ]
    assert spoken["segment"] == {"id": 1, "label": "loyal", "distance": 0.25}
    assert list(spoken["next_action"]["scores"]) == list(ACTIONS)


def test_modalities_list_what_is_present_and_sum_to_one() -> None:
    rng = np.random.default_rng(5)
    n = 300
    present = rng.random((n, 4)) < 0.6
    present[:, 0] = True
    shares = rng.dirichlet(np.full(4, 0.3), n) * present
    shares = (shares / shares.sum(1, keepdims=True)).astype(np.float32)
    predictions = scored(n)
    batch = PredictionBatch(
        predictions.columns, shares, predictions.carried, predictions.cold_start, predictions.index_position
    )
    for row, record in zip(shares, encoded(clicks(*[{}] * n), batch), strict=True):
        listed = json.loads(record)["modalities"]
        names = [name for name, share in zip(("behavior", "text", "voice", "image"), row, strict=True) if share > 0]
        assert list(listed) == names
        assert round(sum(listed.values()), 9) == 1
        assert all(abs(listed[name] - share) < 1e-3 for name, share in zip(names, row[row > 0], strict=True))
        assert all(share >= 0 for share in listed.values())


def test_records_are_of_their_type_and_alone_equal_in_a_batch() -> None:
    events, predictions = clicks(*[{}] * 6), scored(6)
    whole = encoded(events, predictions)
    for i, record in enumerate(whole):
        msgspec.json.decode(record, type=Prediction, strict=True)
        one = slice(i, i + 1)
        alone = PredictionBatch(
            {
                name: {key: value[one] for key, value in columns.items()}
                for name, columns in predictions.columns.items()
            },
            predictions.modalities[one],
            predictions.carried[one],
            predictions.cold_start[one],
            predictions.index_position,
        )
        assert [record] == encoded(
            events.take(one),
            alone,
            feature_digest=[f"d{i}"],
            positions=np.array([[2 * i, 2 * i + 1]]),
        )


@pytest.mark.parametrize("source", [None, "", "web", "小程序"])
@pytest.mark.parametrize("revision", [1, 2])
def test_the_id_is_the_standard_uuid5(source: str | None, revision: int) -> None:
    events = [f"event-{i}-é" for i in range(50)]
    assert prediction_ids("shop", [source] * 50, events, revision=revision) == [
        str(uuid.uuid5(NAMESPACE, f"shop\0{source or ''}\0{event}\0{revision}")) for event in events
    ]


def test_the_id_depends_on_pipeline_source_event_and_revision_alone() -> None:
    ids = {
        prediction_ids(pipeline, [source], [event], revision=revision)[0]
        for pipeline in ("a", "b")
        for source in ("a", "b")
        for event in ("a", "b")
        for revision in (1, 2)
    }
    assert len(ids) == 16
    first = json.loads(encoded(clicks({}), scored(1))[0])
    again = json.loads(encoded(clicks({}), scored(1), processed_at_ms=T0, inference_ms=9.0)[0])
    assert first["prediction_id"] == again["prediction_id"]
    assert {key for key in first if first[key] != again[key]} == {"processed_at", "latency_ms"}


def test_an_empty_batch_gives_no_records() -> None:
    assert encoded(clicks(), scored(0)) == []


def test_there_is_no_bit_for_an_unknown_flag() -> None:
    assert int(sum(quality_bit(flag) for flag in QUALITY_FLAGS)) == 2 ** len(QUALITY_FLAGS) - 1
    with pytest.raises(ValueError):
        quality_bit("nothing")
