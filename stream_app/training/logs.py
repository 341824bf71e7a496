"""Finished streams: what decode and admit leave of records, whether simulated, of a shop, or from a broker."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from fusion.inputs import CARRIED
from stream_app.events import EVENT_TYPES, EventBatch, decode
from stream_app.producers.simulate import GroundTruth, Stream, simulate
from stream_app.producers.tables import parquet_rows
from stream_app.records import Record, RecordLike
from stream_app.state import ACCEPTED, StateSettings, TaskState

HISTORY = 32
START_MS = 1_735_689_600_000  # 2025-01-01
DAY_MS = 86_400_000


class Log(NamedTuple):
    """A finished stream: its accepted events in the order in which they were applied, and who was no human."""

    events: EventBatch
    bots: NDArray[np.float32]  # (n,) 1 made by a bot, NaN unknown
    end_ms: int

    def take(self, chosen: NDArray[np.bool_], *, end_ms: int | None = None) -> Log:
        """Some of the events; `end_ms`: when the stream is taken to have ended."""
        return Log(self.events.take(chosen), self.bots[chosen], self.end_ms if end_ms is None else end_ms)


def simulated(*, users: int, days: float, activity: float, seed: int) -> Log:
    """Invented shoppers over some days."""
    truth = GroundTruth()
    stream = simulate(users=users, seed=seed, start_ms=START_MS, activity=activity, truth=truth, bots=0.04)
    end_ms = START_MS + int(days * DAY_MS)
    events = accepted(
        takewhile(lambda r: not isinstance(r[1]["event_time"], int) or r[1]["event_time"] < end_ms, stream)
    )
    bots = np.array([user.decode() in truth.bots for user in events.user], np.float32)
    return Log(events, bots, end_ms)


def real(stream: Stream) -> Log:
    """A recorded stream of people."""
    return of_people(accepted(stream))


def of_people(events: EventBatch) -> Log:
    """Accepted events; whether anybody is a bot is not known."""
    return Log(events, np.full(len(events), np.nan, np.float32), int(events.event_time_ms.max()))


def cd_purchases(data_dir: Path, *, customers: int, folder: str = "cdnow") -> Stream:
    """Purchases of a CD shop over 1997 (CDNOW, MIT), or another folder in that layout; the set names no products."""
    rows = [row for row in parquet_rows(data_dir, f"{folder}/purchases.parquet") if row["customer"] <= customers]
    for number, row in enumerate(sorted(rows, key=lambda row: float(row["date"]))):
        day = datetime.strptime(str(int(row["date"])), "%Y%m%d").replace(tzinfo=UTC, hour=12)
        yield (
            "clicks",
            {
                "event_id": f"cdnow-{number}",
                "event_time": int(day.timestamp() * 1000),
                "user_id": f"cdnow-{row['customer']}",
                "action": "purchase",
                "product_id": "cd",
                "price": row["amount"] / max(row["quantity"], 1),
                "quantity": row["quantity"],
            },
        )


def accepted(stream: Stream) -> EventBatch:
    """The stream's own decode and admit over all records; what is set aside there is never learned from."""
    records: dict[str, list[RecordLike]] = {name: [] for name in EVENT_TYPES}
    for number, (event_type, record) in enumerate(stream):
        records[event_type].append(Record(event_type, 0, number, 0, None, orjson.dumps(record)))
    decoded = [decode(part, event_type=name, source_input=at).events for at, (name, part) in enumerate(records.items())]
    events = EventBatch.concat([part for part in decoded if len(part)])
    return admitted(events.take(np.argsort(events.offset)))


def admitted(events: EventBatch) -> EventBatch:
    """What the state accepts of events in their order."""
    state = TaskState(StateSettings(), carried=CARRIED, history=HISTORY)
    verdict = state.admit(events, now_ms=int(events.event_time_ms.max())).verdict
    return events.take(verdict == ACCEPTED)
