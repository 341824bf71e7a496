"""What a shopper does to a product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Self, get_args

import numpy as np

from stream_app.events.columns import Columns, currencies, hashes, numbers, objects
from stream_app.events.event import Event
from stream_app.events.faults import FieldFault
from stream_app.events.fields import Amount, Count, Currency, Duration, Id, Rank
from stream_app.events.image import Image, pixels

Action = Literal["impression", "view", "click", "add_to_cart", "remove_from_cart", "wishlist", "purchase"]


class Click(Event):
    """An impression, a view, a click or a step towards buying."""

    action: Action
    product_id: Id
    category: str | None = None
    brand: str | None = None
    price: Amount | None = None
    currency: Currency | None = None
    quantity: Count | None = 1
    position: Rank | None = None
    query_id: str | None = None
    prediction_id: str | None = None
    dwell_ms: Duration | None = None
    image: Image | None = None

    actions: ClassVar[tuple[str, ...]] = get_args(Action)

    def __post_init__(self) -> None:
        if (code := self.currency) is not None and not (code.isascii() and code.isalnum()):
            raise FieldFault("currency", "is not an ISO 4217 code")

    @classmethod
    def columns(cls, events: Sequence[Self]) -> Columns:
        code = {action: index for index, action in enumerate(cls.actions)}
        products = [e.product_id for e in events]
        return {
            "action": np.array([code[e.action] for e in events], np.uint8),
            "product": objects(products),
            "item": hashes(products),
            "category": hashes([e.category for e in events]),
            "brand": hashes([e.brand for e in events]),
            "price": numbers([e.price for e in events], "price"),
            "currency": currencies([e.currency for e in events]),
            "quantity": numbers([e.quantity for e in events], "quantity"),
            "position": numbers([e.position for e in events], "position"),
            "dwell_ms": numbers([e.dwell_ms for e in events], "dwell_ms"),
            "image": pixels([e.image for e in events]),
        }
