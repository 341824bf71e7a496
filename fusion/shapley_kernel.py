"""The sums of `Shapley` as one loop in machine code; pure Python with NUMBA_DISABLE_JIT=1.

A product of matrices in numpy would do, but the library behind it starts a thread for every core when there are many
rows, and those wait by burning their core.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})  # type: ignore[untyped-decorator]
def divide(
    answers: NDArray[np.float32],  # (r, o) of nobody, then of every coalition of every group by its rows
    first: int,  # of this group's answers
    whole: NDArray[np.float32],  # (n, o) of everybody together
    rows: NDArray[np.int64],  # (m,) events of the group
    weights: NDArray[np.float32],  # (k, c) what each player's value takes of each coalition; everybody is the last
    players: NDArray[np.int64],  # (k,) their columns
    trace: float,  # that each has at least
    shares: NDArray[np.float32],  # (n, modalities) out
) -> None:
    """Each player's part of how far the answers moved."""
    count, size = weights.shape[1] - 1, whole.shape[1]
    value = np.empty(size, np.float32)
    for i in range(len(rows)):
        row, total = rows[i], np.float32(0.0)
        for player in range(len(players)):
            weight = weights[player, count]
            for o in range(size):
                value[o] = weight * (whole[row, o] - answers[0, o])
            for coalition in range(count):
                weight, at = weights[player, coalition], first + coalition * len(rows) + i
                for o in range(size):
                    value[o] += weight * (answers[at, o] - answers[0, o])
            moved = np.float32(trace)
            for o in range(size):
                moved += abs(value[o])
            shares[row, players[player]] = moved
            total += moved
        for player in players:
            shares[row, player] /= total
