"""Decoded events as columns: what every step after decode works on. Knows no Kafka and no JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Objects = NDArray[np.object_]
ALL = slice(None)


@dataclass(frozen=True)
class EventBatch:
    """n events in the order in which they are applied. Every column has length n.

    Hashes are xxh3_64 of the UTF-8 text, 0 where absent. Times are int64 milliseconds UTC.
    """

    topic: NDArray[np.uint8]  # index into EVENT_TYPES
    source_input: NDArray[np.uint8]  # index of the input (partition of one topic) that the record came from
    offset: NDArray[np.int64]  # offset in that input
    event_time_ms: NDArray[np.int64]  # clock skew removed
    identity: NDArray[np.uint64]  # of source + "\0" + event_id
    user: Objects  # bytes: UTF-8 user id, or anonymous id where there is none; equals the record key
    event_id: Objects  # str
    source: Objects  # str | None
    session_id: Objects  # str | None
    platform: NDArray[np.uint8]  # index into PLATFORMS, the last being "other"
    partial: NDArray[np.bool_]  # a partial transcript: changes no state
    action: NDArray[np.uint8]  # index into ACTIONS
    product: Objects  # str | None
    item: NDArray[np.uint64]  # hash of product
    category: NDArray[np.uint64]  # hash
    brand: NDArray[np.uint64]  # hash
    price: NDArray[np.float64]  # NaN where absent
    currency: NDArray[np.uint32]  # four ASCII bytes little endian ("USD\0"), 0 where absent
    quantity: NDArray[np.int32]  # 1 where absent
    position: NDArray[np.int32]  # 1-based, 0 where absent
    dwell_ms: NDArray[np.int64]  # 0 where absent
    total_results: NDArray[np.int32]  # -1 where absent
    query_hash: NDArray[np.uint64]  # of the normalised query text of a search, else 0
    rating: NDArray[np.float32]  # NaN where absent
    confidence: NDArray[np.float32]  # of a transcript, NaN where absent
    text: Objects  # str | None: query, review (title + body) or transcript
    word_confidence: Objects  # float32 array, one per word of a transcript, or None
    language: Objects  # str | None
    image: Objects  # bytes (JPEG, PNG or WebP) | float32 array (a given embedding) | None

    def __len__(self) -> int:
        return len(self.offset)

    def take(self, index: NDArray[Any] | slice) -> EventBatch:
        """The chosen events, in the order of `index` (integers, a mask or a slice)."""
        if isinstance(index, slice) and index == ALL:
            return self
        return EventBatch(*[getattr(self, name)[index] for name in COLUMNS])

    @staticmethod
    def concat(batches: Sequence[EventBatch]) -> EventBatch:
        """All events, one batch after the other; at least one batch."""
        if len(batches) == 1:
            return batches[0]
        return EventBatch(*[np.concatenate([getattr(b, name) for b in batches]) for name in COLUMNS])


COLUMNS = tuple(field.name for field in fields(EventBatch))
