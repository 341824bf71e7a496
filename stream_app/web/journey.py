"""One shopper's journey for the live page: fields chosen by name, no id, no text that a person wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

STEP = ("action", "product", "event_time_ms")
WINDOW = ("type", "start_ms", "end_ms", "counts", "unique_products", "engagement_score", "signals", "funnel_step")


def journey(found: Mapping[str, Any], name: str) -> dict[str, Any]:
    """From what `Answers.user` gives."""
    return {
        "name": name,
        "events": found["events"],
        "first_seen_ms": found["first_seen_ms"],
        "last_seen_ms": found["last_seen_ms"],
        "history": [{key: step[key] for key in STEP if key in step} for step in found["history"]],
        "windows": [
            {key: window.get(key) for key in (*WINDOW, "complaint_topics", "next_best_action")}
            for window in found["windows"]
        ],
        "why": found.get("why", {}),
        "predictions": [_prediction(orjson.loads(record)) for record in found.get("predictions", ())],
    }


def _prediction(record: Mapping[str, Any]) -> dict[str, Any]:
    outputs = record.get("outputs", {})
    return {
        "event_time": record.get("event_time"),
        "purchase": outputs.get("purchase", {}).get("score"),
        "churn": outputs.get("churn", {}).get("score"),
        "next_action": outputs.get("next_action", {}).get("label"),
        "sentiment": outputs.get("sentiment", {}).get("label"),
        "segment": outputs.get("segment", {}).get("label"),
        "recommended": [each["product_id"] for each in outputs.get("recommendations", ())[:5]],
        "modalities": record.get("modalities", {}),
    }
