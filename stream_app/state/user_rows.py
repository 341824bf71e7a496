"""Where the events of one batch went: what features are made from and what the predictions are written back to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class UserRows:
    """n events of u users, in the order of the FeatureBatch: users consecutive, each user's events as applied.

    Valid until the next update or close.
    """

    order: NDArray[np.int64]  # (n,) position of each event in the batch given to update
    row: NDArray[np.int64]  # (n,) 0..u-1, non-decreasing
    row_of_user: NDArray[np.int64]  # (u,) in the user table
    users: list[bytes]  # (u,)
    windows: NDArray[np.int64]  # (n, 2) session and tumbling window after the batch
    gap_ms: NDArray[np.int64]  # (n,) since the user's latest event, >= 0; -1 for the first
    history: NDArray[np.int64]  # (u, L, 2) before the batch: item, time << WHEN_SHIFT | action; newest last
    digest: NDArray[np.uint8]  # (u, DIGEST_BYTES) before the batch

    def __len__(self) -> int:
        return len(self.row)
