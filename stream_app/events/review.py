"""What a shopper writes about a product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from msgspec import Meta

from stream_app.events.columns import Columns, hashes, numbers, objects
from stream_app.events.event import Event
from stream_app.events.faults import FieldFault
from stream_app.events.fields import Id
from stream_app.events.image import Image, pixels

Rating = (
    Annotated[float, Meta(ge=1, le=5)] | Annotated[str, Meta(pattern=r"^(?:[1-4](?:\.[0-9]{1,15})?|5(?:\.0{1,15})?)$")]
)


class Review(Event):
    """A written review with stars, a question or an answer."""

    product_id: Id
    review_body: str | None = None
    rating: Rating | None = None
    kind: Literal["review", "question", "answer"] | None = "review"
    review_id: str | None = None
    title: str | None = None
    language: str | None = None
    verified_purchase: bool | None = None
    images: list[Image] | None = None

    actions: ClassVar[tuple[str, ...]] = ("review",)
    track: ClassVar[str] = "text"
    rules: ClassVar[dict[str, Any]] = {
        "anyOf": [
            {"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in ("review_body", "rating")
        ]
    }

    def __post_init__(self) -> None:
        if self.review_body is None and self.rating is None:
            raise FieldFault("review_body", "is required unless rating is given")

    @classmethod
    def columns(cls, events: Sequence[Self]) -> Columns:
        products = [e.product_id for e in events]
        return {
            "product": objects(products),
            "item": hashes(products),
            "rating": numbers([None if e.rating is None else float(e.rating) for e in events], "rating"),
            "text": objects([text(e) for e in events]),
            "language": objects([e.language for e in events]),
            "image": pixels([picture(e.images) for e in events]),
        }


def text(review: Review) -> str | None:
    """Title and body, one per line; None where both are blank."""
    parts = (part.strip() for part in (review.title, review.review_body) if part)
    return "\n".join(part for part in parts if part) or None


def picture(images: list[Image] | None) -> Image | None:
    """The first image that is more than an address."""
    return next((image for image in images or () if image.url is None), None)
