"""What can go wrong in the model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusion.features import PredictionBatch


class NotFiniteError(ValueError):
    """NaN or infinity for some events of the batch; the message says where, `rows` (k,) which, in order.

    With `made`, the answer to all other events, each of them is to blame, and no other event has met it. Without, the
    first of each user is to blame: what the user did later may only have come after it.
    """

    def __init__(self, message: str, rows: NDArray[np.int64], made: PredictionBatch | None = None) -> None:
        super().__init__(message)
        self.rows = rows
        self.made = made


class CheckpointError(ValueError):
    """A file is not a model that this version can load; the message is one line."""
