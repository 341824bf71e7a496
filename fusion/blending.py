"""What `Fusion.blend` does around its products as loops in machine code, for CPUs that are not learning.

Pure Python with NUMBA_DISABLE_JIT=1, with the same answers but for rounding.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})  # type: ignore[untyped-decorator]
def gated_sum(
    vectors: NDArray[np.float32],  # (s, n, d)
    logits: NDArray[np.float32],  # (n, s)
    meta: NDArray[np.float32],  # (n, s, 2)
    rows: NDArray[np.int64],  # (m,) which of the n
    present: NDArray[np.bool_],  # (m, s)
    absent: NDArray[np.float32],  # (s, d)
    mixed: NDArray[np.float32],  # (m, d + 3 s) out: the sum, presence, meta of the present
    gates: NDArray[np.float32],  # (m, s) out
) -> None:
    """Present slots by their gates, the absent ones by their token."""
    slots, size = absent.shape
    for i in range(len(rows)):
        row = rows[i]
        best, total = -np.inf, 0.0
        for s in range(slots):
            if present[i, s]:
                best = max(best, float(logits[row, s]))
        for s in range(slots):
            if present[i, s]:
                total += math.exp(logits[row, s] - best)
        mixed[i] = 0.0
        for s in range(slots):
            if present[i, s]:
                gate = np.float32(math.exp(logits[row, s] - best) / total)
                weight = gate * np.float32(slots)
                for d in range(size):
                    mixed[i, d] += weight * vectors[s, row, d]
                mixed[i, size + s] = 1.0
                mixed[i, size + slots + 2 * s] = meta[row, s, 0]
                mixed[i, size + slots + 2 * s + 1] = meta[row, s, 1]
            else:
                gate = np.float32(0.0)
                for d in range(size):
                    mixed[i, d] += absent[s, d]
            gates[i, s] = gate


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})  # type: ignore[untyped-decorator]
def add_and_norm(
    vectors: NDArray[np.float32],  # (m, d) in and out
    others: NDArray[np.float32],  # (m, >= d) what is added, further columns are not read
    bias: NDArray[np.float32],  # (d,) added too
    epsilon: float,
) -> None:
    """Layer normalisation (Ba et al. 2016) of the sum, without weights."""
    count, size = vectors.shape
    share = np.float32(1.0) / np.float32(size)
    for i in range(count):
        total, spread = np.float32(0.0), np.float32(0.0)
        for d in range(size):
            vectors[i, d] += others[i, d] + bias[d]
            total += vectors[i, d]
        mean = total * share
        for d in range(size):
            vectors[i, d] -= mean
            spread += vectors[i, d] * vectors[i, d]
        scale = np.float32(1.0) / np.sqrt(spread * share + np.float32(epsilon))
        for d in range(size):
            vectors[i, d] *= scale
