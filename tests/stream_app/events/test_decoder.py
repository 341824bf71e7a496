"""Which records are accepted, which are refused, with what code, stage and field."""

import json
from typing import Any

import pytest

from stream_app.errors import EventError
from stream_app.events import EVENT_TYPES, EventBatch, decode
from stream_app.events.limits import MAX_BYTES, MAX_DEPTH
from tests.stream_app.events.samples import (
    FULL,
    PNG,
    REQUIRED,
    T0,
    assert_same,
    base64_of,
    decoded,
    error,
    event,
    raw,
    record,
)

NOT_JSON = {
    "tombstone": None,
    "empty": b"",
    "blank": b"  ",
    "cut off": raw(FULL["clicks"])[:-1],
    "trailing text": raw(FULL["clicks"]) + b"x",
    "byte order mark": b"\xef\xbb\xbf" + raw(FULL["clicks"]),
    "UTF-16": raw(FULL["clicks"]).decode().encode("utf-16"),
    "not UTF-8 in a known field": raw(FULL["clicks"]).replace(b"acme", b"\xff\xfe"),
    "not UTF-8 in an unknown field": raw(REQUIRED["clicks"] | {"other": "x"}).replace(b'"x"', b'"\xff"'),
    "not UTF-8 in an unknown name": raw(REQUIRED["clicks"] | {"other": 1}).replace(b"other", b"\xff"),
    "lone surrogate": raw(REQUIRED["clicks"] | {"event_id": "\ud800"}),
    "lone surrogate in an unknown field": raw(REQUIRED["clicks"] | {"other": "\udc00"}),
    "lone surrogate as bytes": raw(REQUIRED["clicks"]).replace(b"user-1", b"\xed\xa0\x80"),
    "control character": raw(REQUIRED["clicks"]).replace(b"user-1", b"a\x00b"),
    "single quotes": raw(REQUIRED["clicks"]).replace(b'"', b"'"),
}


@pytest.mark.parametrize("value", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_what_is_not_json_is_malformed(value: bytes | None) -> None:
    refused = decoded("clicks", value)
    assert isinstance(refused, EventError)
    assert (refused.code, refused.stage, refused.field) == ("malformed_json", "decode", "")


@pytest.mark.parametrize("value", [b"null", b"[]", b"7", b'"text"', b"true"])
def test_json_that_is_no_object_breaks_the_schema(value: bytes) -> None:
    refused = decoded("clicks", value)
    assert isinstance(refused, EventError)
    assert (refused.code, refused.stage) == ("schema_violation", "schema")


@pytest.mark.parametrize(
    ("event_type", "changes", "field", "stage"),
    [
        ("clicks", {"event_id": None}, "event_id", "envelope"),
        ("clicks", {"event_id": ""}, "event_id", "envelope"),
        ("clicks", {"event_id": "x" * 129}, "event_id", "envelope"),
        ("clicks", {"event_id": 7}, "event_id", "envelope"),
        ("clicks", {"user_id": 12345}, "user_id", "envelope"),
        ("clicks", {"anonymous_id": []}, "anonymous_id", "envelope"),
        ("clicks", {"consent": {"ads": 1}}, "consent[...]", "envelope"),
        ("clicks", {"consent": True}, "consent", "envelope"),
        ("clicks", {"action": "stare"}, "action", "schema"),
        ("clicks", {"action": None}, "action", "schema"),
        ("clicks", {"product_id": ""}, "product_id", "schema"),
        ("clicks", {"product_id": 5}, "product_id", "schema"),
        ("clicks", {"price": "5"}, "price", "schema"),
        ("clicks", {"price": -1}, "price", "schema"),
        ("clicks", {"price": 1e300}, "price", "schema"),
        ("clicks", {"currency": "€"}, "currency", "schema"),
        ("clicks", {"currency": "€€€"}, "currency", "schema"),
        ("clicks", {"currency": "EU€"}, "currency", "schema"),
        ("clicks", {"currency": "DOLLAR"}, "currency", "schema"),
        ("clicks", {"quantity": -1}, "quantity", "schema"),
        ("clicks", {"quantity": 2**31}, "quantity", "schema"),
        ("clicks", {"quantity": 1.5}, "quantity", "schema"),
        ("clicks", {"position": 0}, "position", "schema"),
        ("clicks", {"dwell_ms": -1}, "dwell_ms", "schema"),
        ("clicks", {"image": {}}, "image", "schema"),
        ("clicks", {"image": "data"}, "image", "schema"),
        ("clicks", {"image": {"data": base64_of(PNG), "url": "x"}}, "image", "schema"),
        ("clicks", {"image": {"data": "no base64!"}}, "image.data", "schema"),
        ("clicks", {"image": {"data": base64_of(b"GIF89a")}}, "image.data", "schema"),
        ("clicks", {"image": {"data": ""}}, "image.data", "schema"),
        ("clicks", {"image": {"data": base64_of(PNG + bytes(64 * 1024))}}, "image.data", "schema"),
        ("clicks", {"image": {"embedding": []}}, "image.embedding", "schema"),
        ("clicks", {"image": {"embedding": [0.0] * 4097}}, "image.embedding", "schema"),
        ("clicks", {"image": {"embedding": [1, "2"]}}, "image.embedding[1]", "schema"),
        ("clicks", {"image": {"embedding": [1e39]}}, "image.embedding[0]", "schema"),
        ("searches", {"query": None}, "query", "schema"),
        ("searches", {"total_results": -1}, "total_results", "schema"),
        ("searches", {"results": [{"product_id": "a"}, {}]}, "results[1].product_id", "schema"),
        ("searches", {"results": [{"product_id": "a", "position": 0}]}, "results[0].position", "schema"),
        ("reviews", {"product_id": None}, "product_id", "schema"),
        ("reviews", {"rating": None}, "review_body", "schema"),
        ("reviews", {"rating": 0.5}, "rating", "schema"),
        ("reviews", {"rating": 6}, "rating", "schema"),
        ("reviews", {"rating": "five"}, "rating", "schema"),
        ("reviews", {"rating": "5.1"}, "rating", "schema"),
        ("reviews", {"kind": "rant"}, "kind", "schema"),
        ("reviews", {"images": [{"url": "x"}, {"data": base64_of(b"GIF89a")}]}, "images[1].data", "schema"),
        ("voice-transcripts", {"transcript": None}, "transcript", "schema"),
        ("voice-transcripts", {"is_final": False, "segment_id": "1"}, "call_id", "schema"),
        ("voice-transcripts", {"is_final": False, "call_id": "1"}, "segment_id", "schema"),
        ("voice-transcripts", {"is_final": "no"}, "is_final", "schema"),
        ("voice-transcripts", {"participant_role": "boss"}, "participant_role", "schema"),
        ("voice-transcripts", {"channel": "letter"}, "channel", "schema"),
        ("voice-transcripts", {"confidence": 1.01}, "confidence", "schema"),
        ("voice-transcripts", {"words": [{"word": "a", "confidence": 2}]}, "words[0].confidence", "schema"),
        ("voice-transcripts", {"words": [{"confidence": 1}]}, "words[0].word", "schema"),
        ("clicks", {"event_time": None}, "event_time", "time"),
        ("clicks", {"event_time": True}, "event_time", "time"),
        ("clicks", {"event_time": 1.5e12}, "event_time", "time"),
        ("clicks", {"event_time": -1}, "event_time", "time"),
        ("clicks", {"event_time": 10**30}, "event_time", "time"),
        ("clicks", {"event_time": 1_767_607_872}, "event_time", "time"),  # seconds: the year 1970
        ("clicks", {"event_time": "2026-01-05T10:11:12"}, "event_time", "time"),
        ("clicks", {"event_time": "soon"}, "event_time", "time"),
        ("clicks", {"event_time": ""}, "event_time", "time"),
        ("clicks", {"sent_at": "yesterday"}, "sent_at", "time"),
        ("clicks", {"received_at": "2026-01-05T10:11:12"}, "received_at", "time"),
        ("clicks", {"sent_at": 0, "received_at": 253_402_300_799_999}, "event_time", "time"),
    ],
)
def test_a_broken_rule_names_its_field(event_type: str, changes: dict[str, Any], field: str, stage: str) -> None:
    refused = error(event_type, **changes)
    assert (refused.code, refused.field, refused.stage) == ("schema_violation", field, stage)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_each_required_field_is_required(event_type: str) -> None:
    for name in REQUIRED[event_type].keys() - {"user_id", "rating"}:
        fields = {key: value for key, value in REQUIRED[event_type].items() if key != name}
        refused = decoded(event_type, raw(fields))
        assert isinstance(refused, EventError)
        assert (refused.code, refused.field) == ("schema_violation", name)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_every_optional_field_may_be_null_or_absent(event_type: str) -> None:
    nulls = dict.fromkeys(FULL[event_type].keys() - REQUIRED[event_type].keys())
    assert len(event(event_type, **(REQUIRED[event_type] | nulls))) == 1
    assert isinstance(decoded(event_type, raw(REQUIRED[event_type])), EventBatch)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 400])
@pytest.mark.parametrize(
    ("event_type", "field", "template"),
    [
        ("clicks", "price", '"price": %s'),
        ("clicks", "position", '"position": %s'),
        ("clicks", "image.embedding[1]", '"image": {"embedding": [1, %s]}'),
        ("reviews", "rating", '"rating": %s'),
        ("voice-transcripts", "words[0].confidence", '"words": [{"word": "a", "confidence": %s}]'),
    ],
)
def test_numbers_that_are_not_finite_are_named(event_type: str, field: str, template: str, number: str) -> None:
    fields = {key: value for key, value in REQUIRED[event_type].items() if key != field}
    value = raw(fields)[:-1] + b", " + (template % number).encode() + b"}"
    refused = decoded(event_type, value)
    assert isinstance(refused, EventError)
    if field == "position" and number.startswith("1" * 20):
        assert (refused.code, refused.field) == ("schema_violation", field)  # an integer, but too large
    else:
        assert (refused.code, refused.field) == ("not_finite", field)


def test_a_literal_in_a_field_that_we_do_not_know_is_refused_without_naming_it() -> None:
    for other in ('"anna": NaN', '"properties": {"anna": [NaN]}'):
        refused = decoded("clicks", raw(REQUIRED["clicks"])[:-1] + f", {other}}}".encode())
        assert isinstance(refused, EventError)
        assert refused.code == "not_finite"
        assert refused.field in ("", "properties")


def test_broken_json_with_a_nan_is_malformed() -> None:
    refused = decoded("clicks", b'{"price": NaN, ')
    assert isinstance(refused, EventError)
    assert refused.code == "malformed_json"


@pytest.mark.parametrize(
    "placeholder",
    ["", " ", "null", "NULL", "undefined", "guest", "Guest ", "anonymous", "0", "NaN", "nan", "[object Object]", None],
)
def test_a_placeholder_is_no_identity(placeholder: str | None) -> None:
    refused = error("clicks", user_id=placeholder)
    assert (refused.code, refused.stage, refused.field) == ("illegal_identity", "identity", "user_id")
    assert error("clicks", user_id=placeholder, anonymous_id=" UNDEFINED").code == "illegal_identity"
    assert event("clicks", user_id=placeholder, anonymous_id="device-9").user[0] == b"device-9"


def test_the_user_id_comes_before_the_anonymous_id() -> None:
    assert event("clicks", user_id="ü-1", anonymous_id="device-9").user[0] == "ü-1".encode()
    assert event("clicks", user_id="guest-7", anonymous_id="guest").user[0] == b"guest-7"


def test_a_record_may_have_256_kib_and_not_a_byte_more() -> None:
    value = raw(REQUIRED["clicks"])
    assert isinstance(decoded("clicks", value + b" " * (MAX_BYTES - len(value))), EventBatch)
    refused = decoded("clicks", value + b" " * (MAX_BYTES - len(value) + 1))
    assert isinstance(refused, EventError)
    assert (refused.code, refused.stage) == ("size_violation", "decode")


@pytest.mark.parametrize("field", ["properties", "filters", "other"])
def test_a_record_may_nest_32_deep_and_not_one_more(field: str) -> None:
    def nested(depth: int) -> bytes:
        inside = depth - 1  # the record itself is one
        return raw(REQUIRED["searches"])[:-1] + f', "{field}": {"[" * inside}{"]" * inside}}}'.encode()

    assert isinstance(decoded("searches", nested(MAX_DEPTH)), EventBatch)
    for depth in (MAX_DEPTH + 1, 500, 100_000):
        refused = decoded("searches", nested(depth))
        assert isinstance(refused, EventError)
        assert refused.code == "size_violation"


def test_many_brackets_side_by_side_or_in_a_text_are_not_deep() -> None:
    changes = {"query": "[{" * 500 + '"\\' * 9, "filters": [[{}]] * 500}
    assert len(event("searches", **changes)) == 1


def test_unknown_fields_and_repeated_names_are_no_error() -> None:
    assert len(event("clicks", colour="red", nested={"a": [1]}, huge=1)) == 1
    value = raw(REQUIRED["clicks"])[:-1] + b', "product_id": "sku-2"}'
    last = decoded("clicks", value)
    assert isinstance(last, EventBatch)
    assert last.product[0] == "sku-2"


def test_clock_skew_is_removed_only_where_both_times_are_there() -> None:
    device = {"event_time": T0 + 3_600_000, "sent_at": T0 + 3_601_000}
    assert event("clicks", **device, received_at=T0 + 2_000).event_time_ms[0] == T0 + 1_000
    assert event("clicks", **device, received_at=None).event_time_ms[0] == T0 + 3_600_000
    assert event("clicks", **device | {"sent_at": None}, received_at=T0).event_time_ms[0] == T0 + 3_600_000
    reset = event("clicks", event_time=1_000, sent_at=2_000, received_at=T0)  # a device that lost its clock
    assert reset.event_time_ms[0] == T0 - 1_000


def test_no_message_or_field_quotes_what_was_sent() -> None:
    secret = "anna@example.org - at `$.words[0]`"
    values: list[bytes] = [raw(FULL["clicks"] | {name: secret}) for name in FULL["clicks"]]
    values += [raw(FULL["clicks"] | {name: {secret: secret}}) for name in FULL["clicks"]]
    values += [raw(FULL["clicks"] | {name: [secret]}) for name in FULL["clicks"]]
    values += [raw({secret: 1}), json.dumps({secret: float("nan")}).encode(), secret.encode()]
    values += [json.dumps(REQUIRED["clicks"] | {"properties": {secret: float("nan")}}).encode()]
    rejected = decode(list(map(record, values)), event_type="clicks", source_input=0).rejected
    assert len(rejected) > 20
    for _, refused in rejected:
        assert "anna" not in refused.message + refused.field + refused.stage + refused.code


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_bad_records_never_disturb_their_neighbours(event_type: str) -> None:
    good = [record(raw(FULL[event_type] | {"event_id": f"e-{i}"}), i) for i in range(40)]
    bad = [b"{", None, raw(FULL[event_type] | {"event_time": "x"}), raw(FULL[event_type] | {"event_id": ""})]
    bad += [raw(FULL[event_type] | {"user_id": "guest", "anonymous_id": None})]
    mixed = [r for i, each in enumerate(good) for r in (each, record(bad[i % len(bad)], 100 + i))]
    result = decode(mixed, event_type=event_type, source_input=7)
    alone = decode(good, event_type=event_type, source_input=7)
    assert_same(result.events, alone.events)
    assert [r.record for r in result.rejected] == [r for r in mixed if r.offset >= 100]
    assert result.events.offset.tolist() == list(range(40))
    assert set(result.events.source_input.tolist()) == {7}


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_an_empty_batch_has_typed_empty_columns(event_type: str) -> None:
    empty = decode([], event_type=event_type, source_input=0).events
    full = event(event_type)
    assert len(empty) == 0
    for name in EventBatch.__dataclass_fields__:
        assert getattr(empty, name).dtype == getattr(full, name).dtype
        assert getattr(empty, name).shape == (0,)
