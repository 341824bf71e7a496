"""A memory's vectors for every position and what is carried on of them, as loops in machine code, for CPUs that are not
learning. Pure Python with NUMBA_DISABLE_JIT=1, with the same answers but for rounding.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

LEAST = np.float32(1e-12)
MOST = np.float32(127.0)


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def recall(
    pick: NDArray[np.int64],  # (n,) below u a carried one, from there on a fresh one, below 0 none
    carried: NDArray[np.float32],  # (u, d)
    fresh: NDArray[np.float32],  # (m, d)
    chosen: NDArray[np.int64],  # (f,) which of the m are remembered
    vectors: NDArray[np.float32],  # (n, d) out: as `encoders.protocol.quantised` gives them; zeros where none
) -> None:
    """Take each position's vector, the fresh ones as they will be after being carried."""
    users, size = len(carried), vectors.shape[1]
    new = np.empty((len(chosen), size), np.float32)
    for i in range(len(chosen)):
        own = fresh[chosen[i]]
        scale = largest(own) / MOST
        by = max(scale, LEAST)
        for d in range(size):
            new[i, d] = np.rint(own[d] / by) * scale
    for i in range(len(pick)):
        if pick[i] < 0:
            vectors[i] = 0.0
        elif pick[i] < users:
            vectors[i] = carried[pick[i]]
        else:
            vectors[i] = new[pick[i] - users]


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def keep(
    vectors: NDArray[np.float32],  # (n, d)
    last: NDArray[np.int64],  # (u,) positions; below 0 as 0
    whole: NDArray[np.int8],  # (u, d) out
    scales: NDArray[np.float32],  # (u,) out
) -> None:
    """What `encoders.protocol.quantise` gives of the chosen rows."""
    for i in range(len(last)):
        own = vectors[max(last[i], 0)]
        scales[i] = largest(own) / MOST
        by = max(scales[i], LEAST)
        for d in range(len(own)):
            whole[i, d] = np.int8(np.rint(own[d] / by))


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def largest(row: NDArray[np.float32]) -> np.float32:
    """The largest magnitude."""
    most = np.float32(0.0)
    for value in row:
        most = max(most, abs(value))
    return most
