"""What decode costs per event, validation and columns included: `python -m tests.benchmarks.decode`."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from stream_app.events import EVENT_TYPES, decode
from stream_app.records import Record

T0 = 1_767_607_872_000
SPOKEN = "where is the parcel that i ordered on monday"


def envelope(i: int) -> dict[str, Any]:
    return {
        "event_id": f"evt-{i:08d}-6f1c2a",
        "event_time": f"2026-01-05T10:{i // 60 % 60:02d}:{i % 60:02d}.{i % 1000:03d}Z",
        "user_id": f"user-{i % 400:06d}",
        "source": "web-shop",
        "session_id": f"s-{i % 400}-77",
        "platform": "web",
    }


FIELDS: dict[str, Callable[[int], dict[str, Any]]] = {
    "clicks": lambda i: {
        "action": "view",
        "product_id": f"sku-{i % 3000}",
        "category": "shoes/running",
        "brand": "acme",
        "price": 59.9 + i % 7,
        "currency": "EUR",
        "position": i % 20 + 1,
        "query_id": f"q-{i}",
        "dwell_ms": 1200 + i,
    },
    "searches": lambda i: {"query": f"running shoes size {i % 50}", "query_id": f"q-{i}", "total_results": i % 90},
    "reviews": lambda i: {
        "product_id": f"sku-{i % 3000}",
        "rating": i % 5 + 1,
        "title": "Good shoes",
        "review_body": "They fit well and have lasted for a whole winter of wet roads. " * 3,
        "language": "en",
    },
    "voice-transcripts": lambda i: {
        "transcript": SPOKEN,
        "call_id": f"c-{i % 100}",
        "segment_id": str(i),
        "confidence": 0.9,
        "words": [
            {"word": word, "begin_ms": 100 * at, "end_ms": 100 * at + 90, "confidence": 0.8}
            for at, word in enumerate(SPOKEN.split())
        ],
    },
}


def records(event_type: str, n: int, bad: float) -> list[Record]:
    """n records of about 300 bytes; a share of them, evenly spread, is cut off."""
    values = [json.dumps(envelope(i) | FIELDS[event_type](i)).encode() for i in range(n)]
    step = round(1 / bad) if bad else n + 1
    return [
        Record("behavior." + event_type, 0, i, T0, b"user", value[:-1] if i % step == step - 1 else value)
        for i, value in enumerate(values)
    ]


def cost_us(batch: list[Record], event_type: str, rounds: int) -> dict[str, float]:
    """Per event, over all rounds."""
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        decode(batch, event_type=event_type, source_input=0)
        taken.append((time.perf_counter() - started) / len(batch) * 1e6)
    return {"best": round(min(taken), 2), "median": round(statistics.median(taken), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=1000, help="records per batch")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--bad", type=float, default=0.0, help="share of broken records")
    options = parser.parse_args()
    for event_type in EVENT_TYPES:
        batch = records(event_type, options.batch, options.bad)
        size = round(statistics.mean(len(r.value or b"") for r in batch))
        print(
            json.dumps({"type": event_type, "bytes": size, "us_per_event": cost_us(batch, event_type, options.rounds)})
        )


if __name__ == "__main__":
    main()
