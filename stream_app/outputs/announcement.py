"""`behavior.signals`: a signal that is news, for campaign and service tools. At most one per user and cool-down."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from stream_app.campaign.holdout import held_out
from stream_app.outputs.engagement import Window
from stream_app.outputs.times import rfc3339
from stream_app.signals.next_best_action import next_best_action
from stream_app.state.windows import KINDS, WindowBatch


class Announcement(msgspec.Struct, frozen=True, gc=False):
    """A signal fired in a window of a user and had not been told about them for the cool-down."""

    user_id: str
    signal: str
    signals: list[str]
    """All that hold in the window."""
    next_best_action: str | None
    window: Window
    event_time: str
    """Of the window's latest event."""
    holdout: bool
    """True: leave this user alone, they are the comparison."""


_ENCODE = msgspec.json.Encoder().encode


def encode_announcements(
    windows: WindowBatch, told: Sequence[tuple[int, str]], *, signals: Sequence[list[str]], share: float, campaign: str
) -> list[tuple[bytes, bytes]]:
    """User id and JSON per (window, signal)."""
    records = []
    for at, name in told:
        row, user = windows.rows[at], windows.users[at]
        start, end, last = rfc3339(np.array([row["start_ms"], row["end_ms"], row["last_ms"]]))
        record = Announcement(
            user_id=user.decode(),
            signal=name,
            signals=signals[at],
            next_best_action=next_best_action(signals[at]),
            window=Window(KINDS[int(row["kind"])], start, end, windows.is_final),
            event_time=last,
            holdout=held_out(user, share=share, campaign=campaign),
        )
        records.append((user, _ENCODE(record)))
    return records
