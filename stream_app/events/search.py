"""What a shopper looks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from msgspec import Raw, Struct, field

from stream_app.events.columns import Columns, hashes, numbers, objects
from stream_app.events.event import Event
from stream_app.events.fields import Count, Id, Rank
from stream_app.events.image import Image, pixels


class Result(Struct, kw_only=True, gc=False):
    """A product as it was shown on the result page."""

    product_id: Id
    position: Rank | None = None


class Search(Event):
    """A query, typed or by picture, and what it found."""

    query: str
    query_id: str | None = None
    filters: Raw = field(default_factory=Raw)
    sorts: Raw = field(default_factory=Raw)
    total_results: Count | None = None
    results: list[Result] | None = None
    page: Count | None = None
    image: Image | None = None

    actions: ClassVar[tuple[str, ...]] = ("search",)
    track: ClassVar[str] = "text"

    @classmethod
    def columns(cls, events: Sequence[Self]) -> Columns:
        queries = [e.query.strip() or None for e in events]
        return {
            "text": objects(queries),
            "query_hash": hashes([query and normalised(query) for query in queries]),
            "total_results": numbers([e.total_results for e in events], "total_results"),
            "image": pixels([e.image for e in events]),
        }


def normalised(query: str) -> str:
    """The query with case folded and runs of white space made one blank: two that are equal ask the same."""
    return " ".join(query.casefold().split())
