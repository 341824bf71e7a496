"""Lists of field values to arrays of the same length. Knows no event type."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from stream_app.events.batch import Objects

Columns = dict[str, NDArray[Any]]
"""Columns of an EventBatch by name; those not named are filled with the value for absent."""

ABSENT: dict[str, tuple[Any, Any]] = {
    "partial": (np.bool_, False),
    "action": (np.uint8, 0),
    "product": (np.object_, None),
    "item": (np.uint64, 0),
    "category": (np.uint64, 0),
    "brand": (np.uint64, 0),
    "price": (np.float64, np.nan),
    "currency": (np.uint32, 0),
    "quantity": (np.int32, 1),
    "position": (np.int32, 0),
    "dwell_ms": (np.int64, 0),
    "total_results": (np.int32, -1),
    "query_hash": (np.uint64, 0),
    "rating": (np.float32, np.nan),
    "confidence": (np.float32, np.nan),
    "text": (np.object_, None),
    "word_confidence": (np.object_, None),
    "language": (np.object_, None),
    "image": (np.object_, None),
}
"""dtype and value for absent of each column that only some event types fill."""


def absent(n: int, *, besides: Columns) -> Columns:
    """The columns of ABSENT for n events, without those that are already there."""
    return {name: np.full(n, value, dtype) for name, (dtype, value) in ABSENT.items() if name not in besides}


def objects(values: Sequence[object]) -> Objects:
    """An object column; arrays among the values stay single elements."""
    return np.fromiter(values, np.object_, len(values))


def numbers(values: Sequence[float | None], name: str) -> NDArray[Any]:
    """The numeric column `name` with its value for absent where None."""
    dtype, default = ABSENT[name]
    return np.array([default if value is None else value for value in values], dtype)


def hashes(texts: Sequence[str | None]) -> NDArray[np.uint64]:
    """`hash64` of each text; 0 where None or empty."""
    return np.array([(xxh3_64_intdigest(text.encode()) or 1) if text else 0 for text in texts], np.uint64)


def currencies(codes: Sequence[str | None]) -> NDArray[np.uint32]:
    """Upper-cased codes as four ASCII bytes, little endian; 0 where None."""
    packed = {code: int.from_bytes(code.upper().encode(), "little") if code else 0 for code in set(codes)}
    return np.array([packed[code] for code in codes], np.uint32)
