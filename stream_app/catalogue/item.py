"""A record of the catalogue, keyed by product id."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from stream_app.errors import EventError
from stream_app.events.decoder import sound_value
from stream_app.events.faults import FieldFault
from stream_app.events.fields import Amount, Currency
from stream_app.events.image import Image
from stream_app.events.refusal import refusal
from stream_app.records import RecordLike

PRODUCT_BYTES = 1_024
Short = Annotated[str, Meta(max_length=1_024)]


class Item(Struct, kw_only=True, gc=False):
    """A thing for sale; a record without a value takes it out of the catalogue."""

    title: Short | None = None
    description: str | None = None
    category: Short | None = None
    brand: Short | None = None
    price: Amount | None = None
    currency: Currency | None = None
    image: Image | None = None

    def __post_init__(self) -> None:
        if (code := self.currency) is not None and not (code.isascii() and code.isalnum()):
            raise FieldFault("currency", "is not an ISO 4217 code")


_DECODE = msgspec.json.Decoder(Item).decode


def read(record: RecordLike) -> tuple[str, Item | None]:
    """Product id and item, None for a product that is gone. Raises EventError."""
    product = _product(record.key)
    if record.value is None:
        return product, None
    value = sound_value(record.value)
    try:
        return product, _DECODE(value)
    except msgspec.DecodeError as error:
        raise refusal(Item, value, error) from None


def _product(key: bytes | None) -> str:
    fault = EventError("illegal_identity", "Key is no product id", stage="identity", field="key")
    if not key or len(key) > PRODUCT_BYTES:
        raise fault
    try:
        return key.decode()
    except UnicodeDecodeError:
        raise fault from None
