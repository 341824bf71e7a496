"""The catalogue in memory: of every item what people read, and where its record lies; of some the photo. Bounded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from stream_app.catalogue.item import Item

Place = tuple[int, int]
"""Partition and offset of an item's record."""


class Listing(NamedTuple):
    """What people read of an item. The description is left in the log."""

    title: str | None
    category: str | None
    brand: str | None
    price: float | None
    currency: str | None
    place: Place
    pictured: bool
    """Whether its record holds a photo."""


@dataclass
class Shelf:
    """At most `items` listings and `photos` photos; those looked at or changed longest ago go first. Any thread."""

    items: int
    photos: int
    _listings: OrderedDict[str, Listing] = field(default_factory=OrderedDict)
    _photos: OrderedDict[tuple[str, Place], bytes] = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._listings)

    def put(self, product: str, item: Item | None, place: Place) -> None:
        """What the log says now; None: it is gone."""
        self._listings.pop(product, None)
        if item is None:
            return
        pictured = item.image is not None and item.image.data is not None
        self._listings[product] = Listing(
            item.title, item.category, item.brand, item.price, item.currency, place, pictured
        )
        while len(self._listings) > self.items:
            self._listings.popitem(last=False)

    def get(self, product: str) -> Listing | None:
        """The listing; None for a product that is not here."""
        return self._listings.get(product)

    def photo(self, product: str, place: Place) -> bytes | None:
        """The small photo, if it is held and still the item's."""
        return self._photos.get((product, place))

    def keep(self, product: str, place: Place, photo: bytes) -> None:
        """Hold a small photo; an empty one says that the picture cannot be read."""
        self._photos[product, place] = photo
        while len(self._photos) > self.photos:
            self._photos.popitem(last=False)

    def touch(self, products: Iterable[str]) -> None:
        """They are looked at: they go last."""
        for product in products:
            with suppress(KeyError):  # gone meanwhile
                self._listings.move_to_end(product)
                self._photos.move_to_end((product, self._listings[product].place))
