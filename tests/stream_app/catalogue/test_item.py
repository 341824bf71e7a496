"""Catalogue records: what is read, and what is refused with which code."""

import base64
import io
from typing import Any

import orjson
import pytest
from PIL import Image

from stream_app.catalogue.item import read
from stream_app.catalogue.photo import SIDE_PX, thumbnail
from stream_app.errors import EventError
from stream_app.records import Record


def picture(width: int = 400, height: int = 300, kind: str = "JPEG", mode: str = "RGB") -> bytes:
    packed = io.BytesIO()
    Image.new(mode, (width, height), 200).save(packed, kind)
    return packed.getvalue()


def record(body: Any, key: bytes | None = b"p1") -> Record:
    return Record("behavior.items", 2, 7, 0, key, body if isinstance(body, bytes | None) else orjson.dumps(body))


def test_an_item_is_read_and_a_tombstone_takes_it_out() -> None:
    image = {"data": base64.b64encode(picture()).decode()}
    body = {"title": "台灯", "price": 3.5, "currency": "EUR", "image": image, "unknown": [1]}
    product, item = read(record(body, "灯-1".encode()))
    assert item is not None
    assert item.image is not None
    assert (product, item.title, item.price, item.image.data) == ("灯-1", "台灯", 3.5, picture())
    assert read(record(None)) == ("p1", None)
    assert read(record({}))[1] is not None


@pytest.mark.parametrize(
    ("body", "key", "code", "field"),
    [
        (b"{", b"p1", "malformed_json", ""),
        (b"", b"p1", "malformed_json", ""),
        (b"\xff", b"p1", "malformed_json", ""),
        ([], b"p1", "schema_violation", ""),
        ({"title": 3}, b"p1", "schema_violation", "title"),
        ({"price": -1}, b"p1", "schema_violation", "price"),
        ({"currency": "€€€"}, b"p1", "schema_violation", "currency"),
        ({"image": {"data": "AAAA"}}, b"p1", "schema_violation", "image.data"),
        ({"image": {}}, b"p1", "schema_violation", "image"),
        (b'{"price": NaN}', b"p1", "not_finite", "price"),
        (b"[" * 99 + b"]" * 99, b"p1", "size_violation", ""),
        ({"title": "x" * 300_000}, b"p1", "size_violation", ""),
        ({}, None, "illegal_identity", "key"),
        ({}, b"", "illegal_identity", "key"),
        ({}, b"\xff", "illegal_identity", "key"),
        (None, b"x" * 2_000, "illegal_identity", "key"),
    ],
)
def test_a_bad_record_is_refused_with_its_code(body: Any, key: bytes | None, code: str, field: str) -> None:
    with pytest.raises(EventError) as refused:
        read(record(body, key))
    assert (refused.value.code, refused.value.field) == (code, field)


@pytest.mark.parametrize(
    ("kind", "mode"), [("JPEG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("WEBP", "RGB"), ("JPEG", "L")]
)
def test_a_photo_is_made_small(kind: str, mode: str) -> None:
    small = thumbnail(picture(400, 300, kind, mode))
    assert small is not None
    with Image.open(io.BytesIO(small)) as image:
        assert (image.format, image.size) == ("JPEG", (SIDE_PX, SIDE_PX * 3 // 4))
    assert len(small) < 8_000


def test_what_is_no_photo_or_too_large_has_none() -> None:
    assert thumbnail(b"\xff\xd8\xffnothing") is None
    assert thumbnail(picture(5_000, 4_000, "PNG", "L")) is None
