"""Valid records of every type, and short ways to decode one."""

import base64
import json
from typing import Any

import numpy as np

from stream_app.errors import EventError
from stream_app.events import EventBatch, decode
from stream_app.records import Record

T0 = 1_767_607_872_000  # 2026-01-05T10:11:12Z
PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)
JPEG = b"\xff\xd8\xff\xe0" + bytes(16)
WEBP = b"RIFF\x10\x00\x00\x00WEBPVP8 "

Json = dict[str, Any]

ENVELOPE: Json = {
    "event_id": "e-1",
    "event_time": "2026-01-05T10:11:12.345Z",
    "user_id": "user-1",
    "anonymous_id": "anonymous-1",
    "source": "web-shop",
    "session_id": "s-1",
    "platform": "ios",
    "tenant": "acme",
    "schema_version": "1.0",
    "sent_at": "2026-01-05T10:11:13Z",
    "received_at": "2026-01-05T10:11:13Z",
    "consent": {"personalisation": True},
    "properties": {"campaign": "spring"},
}


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


FULL: dict[str, Json] = {
    "clicks": ENVELOPE
    | {
        "action": "add_to_cart",
        "product_id": "sku-1",
        "category": "shoes",
        "brand": "acme",
        "price": 59.9,
        "currency": "eur",
        "quantity": 2,
        "position": 3,
        "query_id": "q-1",
        "prediction_id": "p-1",
        "dwell_ms": 1234.5,
        "image": {"data": base64_of(PNG)},
    },
    "searches": ENVELOPE
    | {
        "query": "  Red   SHOES ",
        "query_id": "q-1",
        "filters": {"size": [42]},
        "sorts": ["price"],
        "total_results": 0,
        "results": [{"product_id": "sku-1", "position": 1}],
        "page": 1,
        "image": {"embedding": [0.5, -1, 2e3]},
    },
    "reviews": ENVELOPE
    | {
        "product_id": "sku-1",
        "review_body": "Fits well.",
        "rating": "4.5",
        "kind": "review",
        "review_id": "r-1",
        "title": "Good",
        "language": "en",
        "verified_purchase": True,
        "images": [{"url": "https://example.org/1.jpg"}, {"data": base64_of(JPEG)}],
    },
    "voice-transcripts": ENVELOPE
    | {
        "transcript": "where is my parcel",
        "call_id": "c-1",
        "segment_id": "7",
        "is_final": True,
        "participant_role": "customer",
        "begin_offset_ms": 10,
        "end_offset_ms": 1500,
        "confidence": 0.5,
        "words": [
            {"word": "where", "begin_ms": 10, "end_ms": 200, "confidence": 0.25},
            {"word": "is"},
        ],
        "language": "en",
        "channel": "call",
    },
}
"""Every field of the contract."""

BARE: Json = {"event_id": "e-1", "event_time": T0, "user_id": "user-1"}
REQUIRED: dict[str, Json] = {
    "clicks": BARE | {"action": "view", "product_id": "sku-1"},
    "searches": BARE | {"query": "shoes"},
    "reviews": BARE | {"product_id": "sku-1", "rating": 4},
    "voice-transcripts": BARE | {"transcript": "hello"},
}
"""Only what must be there."""


def record(value: bytes | None, offset: int = 0) -> Record:
    return Record("behavior.clicks", 3, offset, T0, b"user-1", value)


def raw(fields: Json) -> bytes:
    return json.dumps(fields).encode()


def decoded(event_type: str, value: bytes | None) -> EventBatch | EventError:
    """The one event, or why there is none."""
    result = decode([record(value)], event_type=event_type, source_input=0)
    assert len(result.events) + len(result.rejected) == 1
    return result.rejected[0].error if result.rejected else result.events


def event(event_type: str, **changes: Any) -> EventBatch:
    """The event of the full record with these changes; it must be accepted."""
    result = decoded(event_type, raw(FULL[event_type] | changes))
    assert isinstance(result, EventBatch), (result.code, result.field, result.message)
    return result


def error(event_type: str, **changes: Any) -> EventError:
    """Why the minimal record with these changes is refused; it must be."""
    result = decoded(event_type, raw(REQUIRED[event_type] | changes))
    assert isinstance(result, EventError)
    return result


def assert_same(left: EventBatch, right: EventBatch) -> None:
    """Equal columns; NaN equals itself."""
    for name in EventBatch.__dataclass_fields__:
        ours, theirs = getattr(left, name), getattr(right, name)
        assert ours.dtype == theirs.dtype
        assert [plain(x) for x in ours.tolist()] == [plain(x) for x in theirs.tolist()], name


def plain(value: object) -> str:
    return repr(value.tolist() if isinstance(value, np.ndarray) else value)
