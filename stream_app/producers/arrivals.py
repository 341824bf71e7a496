"""Who and when for data sets that carry neither: invented users and times, the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random
from typing import Any

START_MS = 1_704_067_200_000  # 2024-01-01T00:00:00Z


def arrivals(
    source: str, records: Iterable[dict[str, Any]], *, seed: int, users: int = 500, gap_s: float = 20.0
) -> Iterator[dict[str, Any]]:
    """The records under an envelope: id, time (gaps exponential with mean `gap_s`), one of `users` unless named."""
    rng = Random(f"{seed} {source}")
    at_ms = START_MS
    for number, record in enumerate(records):
        at_ms += 1 + int(rng.expovariate(1 / gap_s) * 1000)
        yield {
            "event_id": f"{source}-{number}",
            "event_time": at_ms,
            "user_id": f"{source}-u{rng.randrange(users)}",
            "source": source,
            "properties": {"invented": ["event_time", "user_id"]},
            **{name: value for name, value in record.items() if value is not None},
        }
