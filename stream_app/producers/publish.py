"""Encoding and pacing of a stream of records. Knows no Kafka client: a producer takes what `paced` yields."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import msgspec.json

from stream_app.errors import SettingsError

CHUNK = 500
LINGER_S = 0.005
"""Between two chunks that are not full, as Kafka's own producer waits (`linger.ms`, 5 since 4.0): at 2,000 records a
second there were 900 requests, and they took the broker more than all else."""


class Encoded(NamedTuple):
    """A record ready to send; `topic` is the suffix, `time_ms` its event time (clock skew not removed)."""

    topic: str
    key: bytes | None
    value: bytes | None
    time_ms: int


def encode(event_type: str, record: Mapping[str, Any]) -> Encoded:
    """JSON, keyed by user id or, where absent, anonymous id.

    Not by orjson: every value that it makes holds 4 KB more than its size for as long as it waits in a buffer.
    """
    who = record.get("user_id") or record["anonymous_id"]
    return Encoded(event_type, who.encode(), msgspec.json.encode(record), event_time_ms(record["event_time"]))


def encode_item(product: str, record: Mapping[str, Any]) -> Encoded:
    """A record of the catalogue."""
    return Encoded("items", product.encode(), msgspec.json.encode(record), 0)


def event_time_ms(value: int | str) -> int:
    """Epoch milliseconds of a contract time: RFC 3339, digits or a number."""
    if isinstance(value, int):
        return value
    return int(value) if value.isdigit() else round(datetime.fromisoformat(value).timestamp() * 1000)


@dataclass(frozen=True)
class Speed:
    """How fast a stream plays: as many times as fast as it happened, or so many records a second, or neither."""

    times: float | None = None
    per_second: float | None = None

    @staticmethod
    def parse(text: str) -> Speed:
        """`1x`, `10x` (real gaps, sped up), `500/s` (uniform) or `max`."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)(x|/s)", text)
        if text != "max" and (found is None or float(found[1]) == 0):
            raise SettingsError(f"speed must be like 1x, 10x, 500/s or max, not {text!r}")
        if found is None:
            return Speed()
        return Speed(times=float(found[1])) if found[2] == "x" else Speed(per_second=float(found[1]))

    def due_s(self, number: int, elapsed_ms: int) -> float:
        """When record `number` is due, `elapsed_ms` of event time after the first; seconds after the start."""
        if self.times is not None:
            return elapsed_ms / 1000 / self.times
        return number / self.per_second if self.per_second is not None else 0.0


async def paced(
    stream: Iterable[Encoded],
    speed: Speed,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[object]],
    chunk: int = CHUNK,
) -> AsyncIterator[list[Encoded]]:
    """Chunks of what is due, in order, never early; `clock` and `sleep` in seconds.

    A record that arrives out of event-time order is due at once, so disorder survives.
    """
    started_s, again_s, ready = clock(), 0.0, list[Encoded]()
    first_ms = latest_ms = None
    for number, record in enumerate(stream):
        first_ms = record.time_ms if first_ms is None else first_ms
        latest_ms = record.time_ms if latest_ms is None else max(latest_ms, record.time_ms)
        due_s = started_s + speed.due_s(number, latest_ms - first_ms)
        if ready and (len(ready) >= chunk or due_s > clock()):
            again_s = clock() + LINGER_S if len(ready) < chunk else 0.0
            yield ready
            ready = []
        if (wait_s := max(due_s, again_s) - clock()) > 0:
            await sleep(wait_s)
        ready.append(record)
    if ready:
        yield ready
