"""Steps of `BehaviorEncoder.recur` as loops in machine code, for CPUs that are not learning.

Pure Python with NUMBA_DISABLE_JIT=1, with the same answers but for rounding.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from encoders.rational import logistic, tanh

FEW = 32
"""Users in a step up to whom this is quicker than a product of matrices and a call."""
WHOLE = np.float32(127.0)
"""The state is carried in whole 127ths."""


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})  # type: ignore[untyped-decorator]
def step(
    inward: NDArray[np.float32],  # (k, 3 d) what the events say to the reset, the update and the new state
    across: NDArray[np.float32],  # (k, 3 d) what `before` says to them
    biases: NDArray[np.float32],  # (2, 3 d) of both
    before: NDArray[np.float32],  # (u, d) what is left of the state at the event; out, at the next one
    kept: NDArray[np.float32],  # (j, d) of the state, until the next event of the first j <= k
    states: NDArray[np.float32],  # (k, d) out: the state after each event
) -> None:
    """One event of each of k users."""
    count, size = states.shape
    following = len(kept)
    for i in range(count):
        for d in range(size):
            u, n = size + d, 2 * size + d
            reset = logistic(inward[i, d] + biases[0, d] + across[i, d] + biases[1, d])
            update = logistic(inward[i, u] + biases[0, u] + across[i, u] + biases[1, u])
            new = tanh(inward[i, n] + biases[0, n] + reset * (across[i, n] + biases[1, n]))
            states[i, d] = np.rint((new + update * (before[i, d] - new)) * WHOLE) / WHOLE
        if i < following:
            for d in range(size):
                before[i, d] = states[i, d] * kept[i, d]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})  # type: ignore[untyped-decorator]
def steps(
    inward: NDArray[np.float32],  # (m, 3 d)
    kept: NDArray[np.float32],  # (m, d) of the state, until each event
    weight: NDArray[np.float32],  # (3 d, d) from `before` to `across`
    biases: NDArray[np.float32],  # (2, 3 d)
    active: NDArray[np.int64],  # (s,) users in each step, never more than before; m in all
    before: NDArray[np.float32],  # (u, d) as for `step`, the busiest user first
    states: NDArray[np.float32],  # (m, d) out
) -> None:
    """Step after step."""
    size = before.shape[1]
    across = np.empty((active[0], 3 * size), np.float32)
    at = 0
    for nth in range(len(active)):
        users = active[nth]
        for g in range(0, 3 * size, 4):  # four at a time: each number read is used four times
            for user in range(users):
                first, second, third, fourth = np.float32(0.0), np.float32(0.0), np.float32(0.0), np.float32(0.0)
                for d in range(size):
                    x = before[user, d]
                    first += weight[g, d] * x
                    second += weight[g + 1, d] * x
                    third += weight[g + 2, d] * x
                    fourth += weight[g + 3, d] * x
                across[user, g], across[user, g + 1] = first, second
                across[user, g + 2], across[user, g + 3] = third, fourth
        end = at + users
        following = active[nth + 1] if nth + 1 < len(active) else 0
        step(inward[at:end], across[:users], biases, before, kept[end : end + following], states[at:end])
        at = end
