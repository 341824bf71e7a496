"""Shopping dialogs as columns: what the shop did in every turn, what was said, and what came next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.behavior import STATE, Acts

TURN_S = 60.0
"""Dialogs carry no times: one turn counts as a minute."""
LOOK_BACK = 16
"""Turns; dialogs begin with nothing known, so the ring itself is empty."""


@dataclass(frozen=True)
class Dialogs:
    """n turns; those of a dialog are consecutive and in order. Labels speak of the turn after."""

    dialog: NDArray[np.int64]  # (n,) 0, 1, 2 ...
    turn: NDArray[np.int64]  # (n,) 0, 1, 2 ... within the dialog
    kind: NDArray[np.int64]  # (n,) what the shop did, 1..kinds: an action, or what it told about an item
    item: NDArray[np.uint64]  # (n,) hash of the item shown then
    asked: NDArray[np.uint64]  # (n,) hash of the facts asked for, 0 none
    facts: NDArray[np.float32]  # (n,) how many were asked for
    said: NDArray[np.object_]  # (n,) the customer's words, None where nobody wrote them down
    answered: NDArray[np.object_]  # (n,) the shop's
    next_action: NDArray[np.int64]  # (n,) action of the turn after, -1 where the dialog ends
    cart: NDArray[np.float32]  # (n,) whether the turn after puts something into the cart

    def __len__(self) -> int:
        return len(self.dialog)

    def rows(self, dialogs: NDArray[np.int64]) -> NDArray[np.int64]:
        """The turns of these dialogs, one dialog after the other."""
        start = np.searchsorted(self.dialog, dialogs)
        size = np.searchsorted(self.dialog, dialogs, side="right") - start
        rows: NDArray[np.int64] = np.arange(size.sum()) + np.repeat(start - (np.cumsum(size) - size), size)
        return rows

    def acts(self, rows: NDArray[np.int64], *, salt: int) -> Acts:
        """The behaviour encoder's track of whole dialogs; another salt gives the items other names."""
        user = np.cumsum(np.diff(self.dialog[rows], prepend=-1) != 0) - 1
        users, turn = int(user[-1]) + 1, self.turn[rows]
        ring = np.zeros((users, LOOK_BACK), np.int64)
        mixed = (self.item[rows] ^ np.uint64(salt)) * np.uint64(0x9E3779B97F4A7C15)
        return Acts(
            row=user,
            item=(mixed ^ (mixed >> np.uint64(32))) | np.uint64(1),
            category=self.asked[rows],
            brand=np.zeros(len(rows), np.uint64),
            action=self.kind[rows],
            time_ms=(turn * TURN_S * 1000).astype(np.int64),
            gap_s=np.where(turn == 0, -1, TURN_S).astype(np.float32),
            numerics=np.stack([self.facts[rows], np.log1p(turn)], 1).astype(np.float32),
            ring_item=ring.astype(np.uint64),
            ring_action=ring,
            ring_time_ms=ring,
            state=np.zeros((users, STATE), np.int8),
        )

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        """The turns of all dialogs in random order, `size` dialogs at a time."""
        order = rng.permutation(np.unique(self.dialog))
        for at in range(0, len(order), size):
            yield self.rows(order[at : at + size])
