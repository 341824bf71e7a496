"""Work `fairness`: what one hot user, and the longest texts, do to the latency of everybody else's events."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import Any

import msgspec.json
import numpy as np
import orjson

from stream_app.producers.publish import Encoded
from tests.benchmarks.full import stream
from tests.benchmarks.pacing import WARM_S, answered, percentiles
from tests.benchmarks.running import Running, running

HOT_EVERY = 5
"""One event in so many is the hot user's."""
HEAVY = 100_000
"""Characters of every review, in place of its own; reviews are a few per cent of the events."""
KINDS = ("even", "hot", "even", "heavy", "even")
"""Paces of one turn; each is held against the even ones around it."""


def fairness(*, rate: int, seconds: float, turns: int, partitions: int) -> dict[str, Any]:
    """p50 and p99 of the same kind of events in each pace: neither reviews nor those that the hot user gets."""
    with running("fairness", partitions=partitions) as at_work:
        took_ms = asyncio.run(_measure(at_work, rate, seconds, turns))
    found: dict[str, Any] = {kind: percentiles(took) | {"n": len(took)} for kind, took in took_ms.items()}
    ratios = {kind: round(found[kind]["p99_ms"] / found["even"]["p99_ms"], 2) for kind in ("hot", "heavy")}
    return {"events_per_s": rate, "p99_over_even": ratios, **found}


async def _measure(
    at_work: Running, rate: int, seconds: float, turns: int
) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    await at_work.assigned()
    system = at_work.system
    count = int(rate * (seconds + WARM_S))
    pending = stream("simulator", None, events=count * (turns * len(KINDS) + 1))
    await answered(system, list(islice(pending, count)), rate)  # warms
    took: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for kind in KINDS * turns:
        batch = list(islice(pending, count))
        others = {_id(event) for at, event in enumerate(batch) if at % HOT_EVERY and event.topic != "reviews"}
        found = await answered(system, made(kind, batch), rate)
        took[kind] += [ms for event, ms in found.items() if event in others]
    return {kind: np.array(each) for kind, each in took.items()}


def made(kind: str, batch: Sequence[Encoded]) -> list[Encoded]:
    """The events of a pace of that kind."""
    if kind == "hot":
        return [_hot(event) if at % HOT_EVERY == 0 else event for at, event in enumerate(batch)]
    return [_heavy(event) if kind == "heavy" and event.topic == "reviews" else event for event in batch]


def _hot(event: Encoded) -> Encoded:
    record = orjson.loads(event.value or b"")
    record |= {"user_id": "hot", "session_id": None}
    return event._replace(key=b"hot", value=msgspec.json.encode(record))


def _heavy(event: Encoded) -> Encoded:
    record = orjson.loads(event.value or b"")
    words = f"{record.get('text') or 'well made'} "
    record["text"] = (words * (HEAVY // len(words) + 1))[:HEAVY]
    return event._replace(value=msgspec.json.encode(record))


def _id(event: Encoded) -> str:
    found: str = orjson.loads(event.value or b"")["event_id"]
    return found
