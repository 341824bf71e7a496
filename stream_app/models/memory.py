"""What a task keeps of a user for the models: the scorer's carried state, whose it is, and a churn answer to be graded.

A carried state means something only to the weights that wrote it. Where a model with other encoders takes over, a
user's next event finds a blank state, as a new user's does; the ring of their last events is no model's and stays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Held = NDArray[np.void]


def held_dtype(carried: np.dtype[Any]) -> np.dtype[Any]:
    """24 bytes around the scorer's part: it goes through the changelog and outlives restarts."""
    return np.dtype(
        [
            ("memory", "u8"),  # Served.memory of the writer
            ("churn_by", "u4"),  # Grade.number of the model whose answer waits
            ("churn", "f4"),
            ("churn_s", "u4"),  # event time at which it can be graded, 0: none waits
            ("back", "u1"),  # came back in time
            ("", "u1", (3,)),
            ("carried", carried),
        ]
    )


def recall(held: Held, memory: int) -> Held:
    """(u,) carried states for the model with that memory; blank where another wrote them."""
    dtype = held.dtype["carried"]
    plain = np.ascontiguousarray(_bytes(held)[:, -dtype.itemsize :])
    plain[held["memory"] != memory] = 0
    return plain.view(dtype).reshape(len(held))


def keep(held: Held, memory: int, carried: Held) -> None:
    """Write the states (u,) that a model left behind, in place."""
    held["memory"] = memory
    _bytes(held)[:, -carried.dtype.itemsize :] = _bytes(carried)


def _bytes(rows: Held) -> NDArray[np.uint8]:
    """(u, bytes) of contiguous rows: NumPy copies structured elements field by field."""
    return rows.view(np.uint8).reshape(len(rows), rows.dtype.itemsize)
