"""One record of the item log: what a batch of users did to items. Knows no topics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

ACTIVITY_VERSION = 2
STRENGTHS: dict[str, float] = {
    "none": 0.0,
    "view": 1.0,
    "click": 1.0,
    "review": 1.5,
    "wishlist": 2.0,
    "add_to_cart": 3.0,
    "purchase": 4.0,
}
"""How much an action says about an item. The log holds positions in this literal: only append to it."""


def strength_codes(vocabulary: Sequence[str]) -> NDArray[np.uint8]:
    """Per action of the vocabulary its code in STRENGTHS; actions that say nothing (impression, …) are 0."""
    codes = {name: code for code, name in enumerate(STRENGTHS)}
    return np.array([codes.get(action, 0) for action in vocabulary], np.uint8)


class _Packed(msgspec.Struct, array_like=True):
    version: int
    products: list[str]
    hashes: bytes
    item: bytes
    session: bytes
    event_time_ms: bytes
    strength: bytes
    category: bytes = b""  # absent in version 1


@dataclass(frozen=True)
class ItemActivity:
    """n actions on u distinct items, in the order in which they were accepted: one record of the log."""

    products: list[str]  # (u,)
    hashes: Keys  # (u,)
    item: NDArray[np.uint32]  # (n,) index into products
    session: Keys  # (n,) hash of the session, or of the user where there is none
    event_time_ms: NDArray[np.int64]  # (n,)
    strength: NDArray[np.uint8]  # (n,) code in STRENGTHS
    category: Keys  # (u,) hash of the item's category, 0 unknown

    def __len__(self) -> int:
        return len(self.item)

    @staticmethod
    def of(
        product: NDArray[np.object_],
        item: Keys,
        *,
        session: Keys,
        event_time_ms: NDArray[np.int64],
        strength: NDArray[np.uint8],
        category: Keys | None = None,
    ) -> ItemActivity:
        """From columns of events; those without an item or strength are left out."""
        kept = np.flatnonzero((item != 0) & (strength != 0))
        hashes, first, index = np.unique(item[kept], return_index=True, return_inverse=True)
        return ItemActivity(
            products=product[kept[first]].tolist(),
            hashes=hashes,
            item=index.astype(np.uint32),
            session=session[kept],
            event_time_ms=event_time_ms[kept],
            strength=strength[kept],
            category=np.zeros(len(first), np.uint64) if category is None else category[kept[first]],
        )

    def encode(self) -> bytes:
        """MessagePack of little-endian columns: 21 bytes per action, 17 + its id's length per distinct item."""
        return msgspec.msgpack.encode(
            _Packed(
                ACTIVITY_VERSION,
                self.products,
                self.hashes.astype("<u8").tobytes(),
                self.item.astype("<u4").tobytes(),
                self.session.astype("<u8").tobytes(),
                self.event_time_ms.astype("<i8").tobytes(),
                self.strength.tobytes(),
                self.category.astype("<u8").tobytes(),
            )
        )

    @staticmethod
    def decode(data: bytes) -> ItemActivity:
        """Raises ValueError on a version or shape it does not know."""
        packed = msgspec.msgpack.decode(data, type=_Packed)
        if not 1 <= packed.version <= ACTIVITY_VERSION:
            raise ValueError(f"item activity of version {packed.version}, not {ACTIVITY_VERSION}")
        activity = ItemActivity(
            packed.products,
            np.frombuffer(packed.hashes, "<u8"),
            np.frombuffer(packed.item, "<u4"),
            np.frombuffer(packed.session, "<u8"),
            np.frombuffer(packed.event_time_ms, "<i8"),
            np.frombuffer(packed.strength, np.uint8),
            np.frombuffer(packed.category or bytes(len(packed.hashes)), "<u8"),
        )
        lengths = {len(activity), len(activity.session), len(activity.event_time_ms), len(activity.strength)}
        codes = (int(activity.strength.max()), int(activity.item.max())) if len(activity) else (0, -1)
        if (
            len(lengths) > 1
            or not len(activity.hashes) == len(activity.products) == len(activity.category)
            or codes[0] >= len(STRENGTHS)
            or codes[1] >= len(activity.products)
        ):
            raise ValueError("item activity with columns that do not fit each other")
        return activity
