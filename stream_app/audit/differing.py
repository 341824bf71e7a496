"""Which feature differs, where all that is recorded is a digest: the one whose change makes the digests equal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from stream_app.events import ACTIONS, EventBatch
from stream_app.events.columns import ABSENT
from stream_app.state.features import digests
from stream_app.state.user_rows import UserRows

UNKNOWN = "unknown"
BLANK = "the events before it"
NUMBERS = ("event_time_ms", "price", "dwell_ms", "quantity", "position", "total_results", "rating", "confidence")
GONE = ("text", "image", "word_confidence", "item", "category", "brand", *NUMBERS[1:])
NEAR = (-1, 1, -1000, 1000)
GAPS_MS = 2_000


def culprit(events: EventBatch, rows: UserRows, chain: Sequence[bytes], at: int, recorded: bytes) -> str:
    """The feature that explains the recorded digest of the event at place `at` of the FeatureBatch; else UNKNOWN.

    Tried are: no events before it, each feature absent, each number a little off, every action.
    """
    same_user = at > 0 and rows.row[at - 1] == rows.row[at]
    before = chain[at - 1] if same_user else rows.digest[rows.row[at]].tobytes()
    event = events.take(rows.order[at : at + 1])
    gap_ms = int(rows.gap_ms[at])
    if _digest(event, bytes(len(before)), -1) == recorded:
        return BLANK
    for name, changed in _changed(event):
        if _digest(changed, before, gap_ms) == recorded:
            return name
    for near in range(-GAPS_MS, GAPS_MS + 1):
        if _digest(event, before, gap_ms + near) == recorded:
            return "gap_ms"
    return UNKNOWN


def _changed(event: EventBatch) -> Iterator[tuple[str, EventBatch]]:
    for name in GONE:
        dtype, absent = ABSENT[name]
        yield name, replace(event, **{name: np.full(1, absent, dtype)})
    for name in NUMBERS:
        column: Any = getattr(event, name)
        for near in NEAR:
            yield name, replace(event, **{name: column + np.array(near, column.dtype)})
    for action in range(len(ACTIONS)):
        yield "action", replace(event, action=np.array([action], np.uint8))


def _digest(event: EventBatch, before: bytes, gap_ms: int) -> bytes:
    nothing = np.zeros(1, np.int64)
    alone = UserRows(
        order=nothing,
        row=nothing,
        row_of_user=nothing,
        users=[event.user[0]],
        windows=np.zeros((1, 2), np.int64),
        gap_ms=np.array([gap_ms], np.int64),
        history=np.zeros((1, 1, 2), np.int64),
        digest=np.frombuffer(before, np.uint8).reshape(1, -1),
    )
    return digests(event, alone)[0]
