"""Records that must become dead letters, each with the code and the field that its dead letter names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import cycle
from random import Random
from typing import Any, NamedTuple

import orjson

from stream_app.producers.publish import Encoded

IN_2100_MS = 4_102_444_800_000
PLACEHOLDER_IDS = ("", "null", "undefined", "guest", "anonymous", "0", "NaN", "[object Object]")

Fields = dict[str, Any]


class Bad(NamedTuple):
    """A record and what is wrong with it; `field` is empty where no single field is at fault."""

    event_type: str
    key: bytes
    value: bytes | None
    code: str
    field: str


_GOOD: dict[str, Fields] = {
    "clicks": {"action": "view", "product_id": "p1"},
    "searches": {"query": "red shoes"},
    "reviews": {"product_id": "p1", "review_body": "Good."},
    "voice-transcripts": {"transcript": "red shoes"},
}

_WRONG: tuple[tuple[str, str, Fields], ...] = (  # event type, field at fault, fields put over the good ones
    ("clicks", "event_id", {"event_id": ""}),
    ("clicks", "event_id", {"event_id": "x" * 129}),
    ("clicks", "event_id", {"event_id": 7}),
    ("clicks", "event_time", {"event_time": "yesterday"}),
    ("clicks", "event_time", {"event_time": "2025-01-01T10:00:00"}),
    ("clicks", "event_time", {"event_time": -1}),
    ("clicks", "user_id", {"user_id": ["u1"]}),
    ("clicks", "consent", {"consent": "yes"}),
    ("clicks", "action", {"action": "fly"}),
    ("clicks", "product_id", {"product_id": 5}),
    ("clicks", "price", {"price": "cheap"}),
    ("clicks", "price", {"price": -1}),
    ("clicks", "quantity", {"quantity": 1.5}),
    ("clicks", "position", {"position": 0}),
    ("clicks", "dwell_ms", {"dwell_ms": {}}),
    ("clicks", "currency", {"currency": "dollars"}),
    ("clicks", "image.data", {"image": {"data": "R0lGODlhAQABAAAAACw="}}),
    ("searches", "query", {"query": None}),
    ("searches", "query", {"query": ["red"]}),
    ("searches", "total_results", {"total_results": -3}),
    ("searches", "results[0].product_id", {"results": [{"product_id": 1}]}),
    ("reviews", "rating", {"rating": 9}),
    ("reviews", "rating", {"rating": "five"}),
    ("reviews", "review_body", {"review_body": None}),
    ("reviews", "kind", {"kind": "rumour"}),
    ("reviews", "images", {"images": "cat.jpg"}),
    ("voice-transcripts", "transcript", {"transcript": 12}),
    ("voice-transcripts", "is_final", {"is_final": "no"}),
    ("voice-transcripts", "segment_id", {"is_final": False, "call_id": "c1"}),
    ("voice-transcripts", "confidence", {"confidence": 2}),
    ("voice-transcripts", "words[0].confidence", {"words": [{"word": "red", "confidence": "high"}]}),
)

_REQUIRED = (
    *((event_type, name) for event_type in _GOOD for name in ("event_id", "event_time")),
    ("clicks", "action"), ("clicks", "product_id"), ("searches", "query"), ("reviews", "product_id"),
    ("reviews", "review_body"), ("voice-transcripts", "transcript"),
)  # fmt: skip

_BROKEN: tuple[bytes | None, ...] = (
    None, b"", b"{", b"nul", b"\x00\x01\x02", b"\xff\xfe{}", b"event_id=1", b'{"event_id": "e1", }',
    b'{"event_id": "\xc3"}',
)  # fmt: skip


def bad_records(*, seed: int = 0) -> Iterator[Bad]:
    """Every kind once, in a shuffled order."""
    kinds = [*_malformed(), *_wrong(), *_illegal(), *_not_finite(), *_oversize(), *_future()]
    Random(seed).shuffle(kinds)
    yield from kinds


def with_bad(stream: Iterable[Encoded], share: float, *, seed: int = 0) -> Iterator[Encoded]:
    """The stream with so large a share of its records preceded by a bad one."""
    rng, bad = Random(f"{seed} bad"), cycle(bad_records(seed=seed))
    for record in stream:
        if rng.random() < share:
            event_type, key, value, _, _ = next(bad)
            yield Encoded(event_type, key, value, record.time_ms)
        yield record


def _record(event_type: str, name: str, **fields: Any) -> Fields:
    envelope = {
        "event_id": f"bad-{name}",
        "event_time": 1_750_000_000_000,
        "user_id": "bad-input",
        "source": "bad-input",
    }
    return {**envelope, **_GOOD[event_type], **fields}


def _bad(event_type: str, value: bytes | None, code: str, field: str = "") -> Bad:
    return Bad(event_type, b"bad-input", value, code, field)


def _malformed() -> Iterator[Bad]:
    for event_type in _GOOD:
        for value in _BROKEN:
            yield _bad(event_type, value, "malformed_json")
        yield _bad(event_type, orjson.dumps(_record(event_type, "cut"))[:-7], "malformed_json")


def _wrong() -> Iterator[Bad]:
    for event_type, field, fields in _WRONG:
        yield _bad(event_type, orjson.dumps(_record(event_type, field) | fields), "schema_violation", field)
    for event_type, field in _REQUIRED:
        record = _record(event_type, f"no-{field}")
        del record[field]
        yield _bad(event_type, orjson.dumps(record), "schema_violation", field)
    for event_type in _GOOD:
        for value in (b"[]", b"null", b"7", b'"text"'):
            yield _bad(event_type, value, "schema_violation")


def _illegal() -> Iterator[Bad]:
    for event_type in _GOOD:
        for number, user in enumerate(PLACEHOLDER_IDS):
            record = _record(event_type, f"nobody-{number}", user_id=user, anonymous_id=None)
            yield _bad(event_type, orjson.dumps(record), "illegal_identity", "user_id")


def _not_finite() -> Iterator[Bad]:
    for event_type, field in (("clicks", "price"), ("reviews", "rating"), ("voice-transcripts", "confidence")):
        for literal in (b"NaN", b"Infinity", b"-Infinity", b"1e999"):
            record = orjson.dumps(_record(event_type, f"{field}-{literal.decode()}"))
            yield _bad(event_type, record[:-1] + b',"%s":%s}' % (field.encode(), literal), "not_finite", field)


def _oversize() -> Iterator[Bad]:
    for event_type in _GOOD:
        record = orjson.dumps(_record(event_type, "large"))
        deep = b"[" * 100_000 + b"]" * 100_000
        yield _bad(event_type, record[:-1] + b',"properties":%s}' % deep, "size_violation")
        yield _bad(event_type, b"[" * 100_000, "size_violation")
        yield _bad(event_type, record[:-1] + b',"properties":"%s"}' % (b"x" * 900_000), "size_violation")


def _future() -> Iterator[Bad]:
    for event_type in _GOOD:
        record = _record(event_type, "future", event_time=IN_2100_MS)
        yield _bad(event_type, orjson.dumps(record), "future_timestamp", "event_time")
