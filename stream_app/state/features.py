"""The model's input from accepted events and what their users did before. The one feature path, also of training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_128_digest

from fusion.features import NO_TRACK, NUMERICS, TRACKS, FeatureBatch
from stream_app.events import EVENT_TYPES, EventBatch
from stream_app.state.user_rows import UserRows
from stream_app.state.users import WHEN_SHIFT

TRACK_OF_TOPIC = np.array(
    [TRACKS.index(kind.track) if kind.track in TRACKS else NO_TRACK for kind in EVENT_TYPES.values()], np.uint8
)
DAY_MS = 86_400_000
EXACT = np.dtype(
    [
        ("event_time_ms", "i8"),
        ("gap_ms", "i8"),
        ("item", "u8"),
        ("category", "u8"),
        ("brand", "u8"),
        ("price", "f8"),
        ("dwell_ms", "i8"),
        ("quantity", "i4"),
        ("position", "i4"),
        ("total_results", "i4"),
        ("rating", "f4"),
        ("confidence", "f4"),
        ("action", "u1"),
        ("track", "u1"),
    ]
)
"""What the digest covers of an event beside its text, word confidences and image: values before any libm."""


def features(events: EventBatch, rows: UserRows, carried: NDArray[np.void]) -> FeatureBatch:
    """The FeatureBatch of the events given to update; `carried` (u,) is the scorer's part before them."""
    order = rows.order
    time = events.event_time_ms[order]
    when = rows.history[:, :, 1]
    return FeatureBatch(
        row=rows.row,
        event_time_ms=time,
        action=events.action[order],
        item=events.item[order],
        category=events.category[order],
        brand=events.brand[order],
        gap_s=np.where(rows.gap_ms < 0, -1.0, rows.gap_ms / 1000).astype(np.float32),
        numerics=_numerics(events, order, time),
        track=_track(events, order),
        text=events.text[order],
        confidence=events.confidence[order],
        word_confidence=events.word_confidence[order],
        image=events.image[order],
        history_item=rows.history[:, :, 0].view(np.uint64),
        history_action=when.astype(np.uint8),  # the low byte
        history_time_ms=when >> WHEN_SHIFT,
        carried=carried,
    )


def digests(events: EventBatch, rows: UserRows) -> list[bytes]:
    """(n,) after each event the xxh3_128 of the user's digest before it and its exact values: a chain per user."""
    order = rows.order
    exact = np.zeros(len(rows), EXACT)
    for name in EXACT.names or ():
        if name not in ("gap_ms", "track"):
            exact[name] = getattr(events, name)[order]
    exact["gap_ms"], exact["track"] = rows.gap_ms, _track(events, order)
    for name in ("price", "rating", "confidence"):
        exact[name][np.isnan(exact[name])] = np.nan  # one bit pattern
    packed, size = exact.tobytes(), EXACT.itemsize
    before, width = rows.digest.tobytes(), rows.digest.shape[1]
    texts, words, images = events.text[order], events.word_confidence[order], events.image[order]
    chain: list[bytes] = []
    user, last = -1, b""
    for at, row in enumerate(rows.row.tolist()):
        if row != user:
            user, last = row, before[row * width : (row + 1) * width]
        body = last + packed[at * size : (at + 1) * size]
        if texts[at] is not None or images[at] is not None or words[at] is not None:
            body += _tail(texts[at], words[at], images[at])
        last = xxh3_128_digest(body)
        chain.append(last)
    return chain


def _tail(*parts: object) -> bytes:
    """Parts with their kind and length in front, so that no two events look alike."""
    tail = b""
    for part in parts:
        if part is None:
            packed = b""
        elif isinstance(part, str):
            packed = part.encode("utf-8", "surrogatepass")
        elif isinstance(part, bytes):
            packed = b"b" + part
        else:
            packed = b"f" + np.ascontiguousarray(part, np.float32).tobytes()
        tail += (len(packed) << 1 | (part is not None)).to_bytes(5, "little") + packed
    return tail


def _track(events: EventBatch, order: NDArray[np.int64]) -> NDArray[np.uint8]:
    track = TRACK_OF_TOPIC[events.topic[order]]
    said = events.text[order] != None  # noqa: E711  elementwise
    return np.where(said, track, NO_TRACK).astype(np.uint8)


def _numerics(events: EventBatch, order: NDArray[np.int64], time: NDArray[np.int64]) -> NDArray[np.float32]:
    table = np.empty((len(order), len(NUMERICS)), np.float32)
    position, dwell_ms, found = events.position[order], events.dwell_ms[order], events.total_results[order]
    counts = np.stack(
        [
            events.price[order],
            events.quantity[order],
            np.where(position > 0, position, np.nan),
            np.where(dwell_ms > 0, dwell_ms / 1000, np.nan),
            np.where(found >= 0, found, np.nan),
        ],
        axis=1,
    )
    table[:, :5] = np.log1p(np.maximum(counts, 0))
    table[:, 5] = events.rating[order]
    angle = (time % DAY_MS) * (2 * np.pi / DAY_MS)
    table[:, 6], table[:, 7] = np.sin(angle), np.cos(angle)
    return table
