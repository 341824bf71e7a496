"""Clicks in, counts out: what one batch of records says, and the records that answer it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from stream_app.windows.table import Ints, Running, WindowTable

ACTIONS = ("view", "add_to_cart", "purchase")
SIZE_MS = 300_000
FORGET_MS = 24 * SIZE_MS
"""A user silent for so long, in event time, is forgotten: an event of then would find a fresh window."""
MEASURES = 4
"""count, dwell_sum, carts, purchases."""
_NUMBER = {name: at for at, name in enumerate(ACTIONS)}


class Click(msgspec.Struct, gc=False):
    """A click as it comes."""

    event_id: Annotated[str, Meta(min_length=1)]
    user_id: Annotated[str, Meta(min_length=1)]
    item_id: str
    event_time: Annotated[int, Meta(ge=0, lt=1 << 53)]  # epoch milliseconds
    type: Literal["view", "add_to_cart", "purchase"]
    dwell_ms: Annotated[int, Meta(ge=0, lt=1 << 40)]


class Count(msgspec.Struct, gc=False):
    """The event's window as the event left it."""

    event_id: str
    user_id: str
    window_start: int
    count: int
    dwell_sum: int
    carts: int
    purchases: int


@dataclass(frozen=True)
class Answer:
    """What a batch brings forth: one output per event that counts, and the touched keys for the changelog."""

    keys: list[bytes]
    values: list[bytes]
    state_keys: list[bytes]
    state_values: list[bytes | None]  # None: forgotten
    late: int
    refused: int


_decode_all = msgspec.json.Decoder(list[Click]).decode
_decode_one = msgspec.json.Decoder(Click).decode
_encode_lines = msgspec.json.Encoder().encode_lines


def decode(values: Sequence[bytes | None]) -> list[Click]:
    """The clicks among the values: all at once, or one by one where one is bad."""
    try:
        found = _decode_all(b"[" + b",".join(values) + b"]")  # type: ignore[arg-type]
        if len(found) == len(values):  # a value may hold a comma of its own
            return found
    except (msgspec.MsgspecError, TypeError, UnicodeDecodeError):
        pass
    kept = []
    for value in values:
        try:
            kept.append(_decode_one(value or b""))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
    return kept


class ClickWindows:
    """The state of one partition and the step that changes it."""

    def __init__(self, *, forget_ms: int = FORGET_MS) -> None:
        self.table = WindowTable(SIZE_MS, MEASURES)
        self._forget_ms = forget_ms
        self._newest_ms = self._forgot_ms = 0

    def step(self, values: Sequence[bytes | None]) -> Answer:
        """Count a batch of records of the partition, in order."""
        clicks = decode(values)
        if not clicks:
            return Answer([], [], [], [], 0, len(values))
        users = [click.user_id for click in clicks]
        time_ms = np.fromiter([click.event_time for click in clicks], np.int64, len(clicks))
        rows, running = self.table.update(users, time_ms, _amounts(clicks))
        if len(running.kept) < len(clicks):
            kept = running.kept.tolist()
            clicks, users = [clicks[at] for at in kept], [users[at] for at in kept]
        names, packed = self.table.pack(_touched(rows, running.kept))
        gone = self._forget(int(time_ms.max()))
        return Answer(
            [user.encode() for user in users],
            encode(clicks, running),
            [name.encode() for name in (*names, *gone)],
            [*packed, *[None] * len(gone)],
            late=len(rows) - len(clicks),
            refused=len(values) - len(rows),
        )

    def restore(self, pairs: dict[bytes, bytes]) -> None:
        """Take up the last changelog value of every key."""
        if pairs:
            self.table.load((key.decode(), value) for key, value in pairs.items())

    def _forget(self, newest_ms: int) -> list[str]:
        """Now and then free the users that have been silent for `forget_ms` of event time."""
        self._newest_ms = max(self._newest_ms, newest_ms)
        if self._newest_ms - self._forgot_ms < self._forget_ms / 4:
            return []
        self._forgot_ms = self._newest_ms
        return self.table.forget(self._newest_ms - self._forget_ms)


def encode(clicks: Sequence[Click], running: Running) -> list[bytes]:
    """One JSON record per click."""
    counts = map(
        Count,
        [click.event_id for click in clicks],
        [click.user_id for click in clicks],
        running.window_start_ms.tolist(),
        *running.sums.tolist(),
    )
    return _encode_lines(list(counts)).split(b"\n")[:-1]


def _amounts(clicks: Sequence[Click]) -> Ints:
    actions = np.fromiter([_NUMBER[click.type] for click in clicks], np.int64, len(clicks))
    dwell_ms = np.fromiter([click.dwell_ms for click in clicks], np.int64, len(clicks))
    return np.stack(
        [np.ones_like(dwell_ms), dwell_ms, (actions == 1).astype(np.int64), (actions == 2).astype(np.int64)]
    )


def _touched(rows: NDArray[np.intp], kept: NDArray[np.intp]) -> NDArray[np.intp]:
    """The rows that changed, once each, ascending."""
    mask = np.zeros(int(rows.max()) + 1, np.bool_)
    mask[rows[kept]] = True
    return np.flatnonzero(mask)
