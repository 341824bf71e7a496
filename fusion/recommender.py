"""What all workers know of products: the session kNN's memory, with product ids, learned from one ordered log.

Knows no topics: a log position is a number. The answers are a pure function of the events in order, however they
were grouped into records.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusion.item_activity import STRENGTHS, ItemActivity, strength_codes
from fusion.session_knn import KnnSettings, SessionKnn

__all__ = ["STRENGTHS", "ItemActivity", "ItemIndex", "KnnSettings", "strength_codes"]

Rows = NDArray[np.int64]
Keys = NDArray[np.uint64]
Floats = NDArray[np.float32]


class ItemIndex:
    """Recommends products; one thread only. Row numbers are valid until the next `append`."""

    def __init__(self, settings: KnnSettings | None = None) -> None:
        self.knn = SessionKnn(settings)
        self.position = 0  # offset after the last applied record
        self._products = np.full(self.settings.max_items, None, np.object_)
        self._strengths = np.array(list(STRENGTHS.values()))

    def __len__(self) -> int:
        return len(self.knn)

    @property
    def settings(self) -> KnnSettings:
        """Sizes and weights."""
        return self.knn.settings

    @property
    def products(self) -> NDArray[np.object_]:
        """(items,) product id (str) of each row; index it with an array of rows."""
        return self._products[: len(self)]

    @property
    def hashes(self) -> Keys:
        """(items,) hash of each row's product id."""
        return self.knn.hashes

    def append(self, offset: int, activity: ItemActivity) -> None:
        """Apply the record at this offset of the log; offsets grow."""
        if offset < self.position:
            raise ValueError(f"item log read backwards: {offset} after {self.position}")
        held, known, forgotten = self.hashes.copy(), len(self), self.knn.forgotten
        item = activity.item
        self.knn.learn(
            activity.hashes[item],
            activity.session,
            activity.event_time_ms,
            self._strengths[activity.strength],
            category=activity.category[item],
        )
        self.position = offset + 1
        if len(self) == known and self.knn.forgotten == forgotten:
            return
        names = dict(zip(activity.hashes.tolist(), activity.products, strict=True))
        if self.knn.forgotten != forgotten:  # the rows are others now
            names.update(zip(held.tolist(), self._products[:known].tolist(), strict=True))
            known, self._products[:] = 0, None
        for row, key in enumerate(self.hashes[known:].tolist(), known):
            self._products[row] = names[key]

    def rows(self, hashes: Keys) -> Rows:
        """Row of each item hash, -1 where unknown; any shape."""
        return self.knn.rows(hashes)

    def recommend(self, recent: Keys, k: int, *, category: Keys | None = None) -> tuple[Rows, Floats]:
        """The k best rows (n, k), -1 none, and scores (n, k), as SessionKnn gives them."""
        return self.knn.recommend(recent, k, category=category)
