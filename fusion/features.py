"""The model's input and output as columns. Knows no events, no topics, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Objects = NDArray[np.object_]

NUMERICS = (
    "log_price",
    "log_quantity",
    "log_position",
    "log_dwell_s",
    "log_total_results",
    "rating",
    "hour_sin",
    "hour_cos",
)
"""Columns of `FeatureBatch.numerics`; NaN where absent (`log_x` is log1p(x))."""

TRACKS = ("text", "voice")
"""What `FeatureBatch.track` indexes; NO_TRACK where the event says nothing."""
NO_TRACK = 255
TIERS = ("full", "no_recommendations", "behavior_only")
"""What answers leave out to be made sooner, each also what those before it do: the search among products; then words
and pictures, for users who have also acted, and so the division into shares. Words and pictures are read in every tier:
users carry them on, and the next full answer must be what it would have been had none been less. That is why there is
no tier without a text transformer.
"""
NO_ACTION = 255


@dataclass(frozen=True)
class FeatureBatch:
    """n events of u users. Events of one user are consecutive and in the order in which they happened to the state.

    `history_*` is what the user did before the first of these events, newest last, padded on the left.
    """

    row: NDArray[np.int64]  # (n,) which user column each event belongs to: 0..u-1, non-decreasing
    event_time_ms: NDArray[np.int64]  # (n,)
    action: NDArray[np.uint8]  # (n,) code in the vocabulary given to Scorer.load
    item: NDArray[np.uint64]  # (n,) hash of the product id, 0 absent
    category: NDArray[np.uint64]  # (n,) hash, 0 absent
    brand: NDArray[np.uint64]  # (n,) hash, 0 absent
    gap_s: NDArray[np.float32]  # (n,) since the user's previous event, >= 0; -1 for the user's first
    numerics: NDArray[np.float32]  # (n, len(NUMERICS))
    track: NDArray[np.uint8]  # (n,) index into TRACKS, or NO_TRACK
    text: Objects  # (n,) str | None
    confidence: NDArray[np.float32]  # (n,) of a transcript, NaN absent
    word_confidence: Objects  # (n,) float32 array | None
    image: Objects  # (n,) bytes | float32 array | None
    history_item: NDArray[np.uint64]  # (u, L)
    history_action: NDArray[np.uint8]  # (u, L) NO_ACTION where padded
    history_time_ms: NDArray[np.int64]  # (u, L) 0 where padded
    carried: NDArray[np.void]  # (u,) structured, Scorer.carried_dtype; zeros for a new user

    def __len__(self) -> int:
        return len(self.row)


PER_USER = ("history_item", "history_action", "history_time_ms", "carried")
"""Columns of a FeatureBatch that hold one row of each user."""
PER_EVENT = tuple(name for name in FeatureBatch.__dataclass_fields__ if name not in PER_USER)
"""All others hold one row of each event."""


@dataclass(frozen=True)
class PredictionBatch:
    """Aligned with the events of the FeatureBatch that it answers."""

    columns: Mapping[str, Mapping[str, NDArray[Any]]]  # per head name its arrays, each of length n
    modalities: NDArray[np.float32]  # (n, 4) Shapley shares of behavior, text, voice, image; rows sum to 1, 0 = absent
    carried: NDArray[np.void]  # (u,) the users' state after their last event here
    cold_start: NDArray[np.bool_]  # (n,)
    index_position: int  # offset of the recommendation index at which the answer was made
    tier: str = "full"

    def __len__(self) -> int:
        return len(self.cold_start)

    def take(self, order: NDArray[np.int64]) -> PredictionBatch:
        """The same predictions with their events in another order; `carried` stays per user."""
        return PredictionBatch(
            columns={
                head: {name: column[order] for name, column in arrays.items()} for head, arrays in self.columns.items()
            },
            modalities=self.modalities[order],
            carried=self.carried,
            cold_start=self.cold_start[order],
            index_position=self.index_position,
            tier=self.tier,
        )
