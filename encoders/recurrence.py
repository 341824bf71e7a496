"""Steps of `BehaviorEncoder.recur` as one loop in machine code, for CPUs that are not learning and few users abreast.

Pure Python with NUMBA_DISABLE_JIT=1, with the same answers but for rounding.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

FEW = 8
"""Users in a step up to whom this is quicker than a product of matrices and a dozen calls of torch."""
ONE = np.float32(1.0)
WHOLE = np.float32(127.0)
"""The state is carried in whole 127ths."""


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})  # type: ignore[untyped-decorator]
def recur(
    inward: NDArray[np.float32],  # (m, 3 d) what the events say to the reset, the update and the new state
    kept: NDArray[np.float32],  # (m, d) of the state, until the event
    weight: NDArray[np.float32],  # (3 d, d)
    bias: NDArray[np.float32],  # (3 d,)
    active: NDArray[np.int64],  # (k,) users in each step, never more than before; m in all
    state: NDArray[np.float32],  # (u, d) before and, out, after; the busiest user first
    states: NDArray[np.float32],  # (m, d) out: the state after each event
) -> None:
    """A GRU with decay, step after step."""
    size = state.shape[1]
    before, across = np.empty(size, np.float32), np.empty(3 * size, np.float32)
    at = 0
    for step in range(len(active)):
        for user in range(active[step]):
            for d in range(size):
                before[d] = state[user, d] * kept[at, d]
            for g in range(0, 3 * size, 4):  # four at a time: each number read is used four times
                first, second, third, fourth = np.float32(0.0), np.float32(0.0), np.float32(0.0), np.float32(0.0)
                for d in range(size):
                    x = before[d]
                    first += weight[g, d] * x
                    second += weight[g + 1, d] * x
                    third += weight[g + 2, d] * x
                    fourth += weight[g + 3, d] * x
                across[g], across[g + 1] = first + bias[g], second + bias[g + 1]
                across[g + 2], across[g + 3] = third + bias[g + 2], fourth + bias[g + 3]
            for d in range(size):
                reset = ONE / (ONE + math.exp(-(inward[at, d] + across[d])))
                update = ONE / (ONE + math.exp(-(inward[at, size + d] + across[size + d])))
                new = math.tanh(inward[at, 2 * size + d] + reset * across[2 * size + d])
                value = np.float32(np.rint((new + update * (before[d] - new)) * WHOLE)) / WHOLE
                state[user, d] = value
                states[at, d] = value
            at += 1
