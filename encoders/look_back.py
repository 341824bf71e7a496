"""The attention of `BehaviorEncoder.look_back` as one loop in machine code, for CPUs that are not learning.

Pure Python with NUMBA_DISABLE_JIT=1, with the same answers but for rounding.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

FADES_S = (1_800.0, 86_400.0, 604_800.0)
"""How far back the fading counts reach: a session, a day, a week; each a whole multiple of the one before."""
LOOKS = 3 + len(FADES_S)
"""Weightings of the ring: attention, plain count, same item, and the fading ones."""
_DAYS, _SESSIONS = int(FADES_S[2] / FADES_S[1]), int(FADES_S[1] / FADES_S[0])


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})  # type: ignore[untyped-decorator]
def look_back(
    table: NDArray[np.float32],  # (rows, 64) item table
    item: NDArray[np.int32],  # (n, w, 2) item rows
    action: NDArray[np.int32],  # (n, w) 0 padded
    log_age: NDArray[np.float32],  # (n, w)
    fade: NDArray[np.float32],  # (n, w) over the longest of FADES_S
    same: NDArray[np.bool_],  # (n, w)
    query: NDArray[np.float32],  # (n, 64)
    liking: NDArray[np.float32],  # (n, a) logit of each action
    forget: float,  # logits lost per unit of log age
    read: NDArray[np.float32],  # (n, 64 + 6 a) out: items attended to, then the counts of actions by weighting
) -> None:
    """Padding is skipped, so a short history costs little. Logarithms come and go by column: there they are quick."""
    n, width = action.shape
    size, actions = table.shape[1], liking.shape[1]
    vector = np.empty((width, size), np.float32)
    score = np.empty(width, np.float64)
    counts = np.empty((LOOKS, actions), np.float64)
    for i in range(n):
        best = -np.inf
        for j in range(width):
            if action[i, j] > 0:
                first, second = item[i, j, 0], item[i, j, 1]
                match = np.float32(0.0)
                for d in range(size):
                    vector[j, d] = table[first, d] + table[second, d]
                    match += vector[j, d] * query[i, d]
                score[j] = match + liking[i, action[i, j]] - forget * log_age[i, j]
                best = max(best, score[j])
        total = 0.0
        for j in range(width):
            if action[i, j] > 0:
                score[j] = math.exp(score[j] - best)
                total += score[j]
        read[i] = 0.0
        counts[:] = 0.0
        for j in range(width):
            kind = action[i, j]
            if kind > 0:
                attention = np.float32(score[j] / total)
                for d in range(size):
                    read[i, d] += attention * vector[j, d]
                week = float(fade[i, j])
                day = week**_DAYS
                counts[0, kind] += attention
                counts[1, kind] += 1.0
                counts[2, kind] += same[i, j]
                counts[3, kind] += day**_SESSIONS if day > 1e-4 else 0.0
                counts[4, kind] += day
                counts[5, kind] += week
        for kind in range(1, actions):
            if counts[1, kind] > 0:
                for look in range(LOOKS):
                    read[i, size + look * actions + kind] = counts[look, kind]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def look_around(
    row: NDArray[np.int64],  # (n,) user columns, non-decreasing
    item: NDArray[np.uint64],  # (n,)
    action: NDArray[np.int64],  # (n,)
    time_ms: NDArray[np.int64],  # (n,)
    ring_item: NDArray[np.uint64],  # (u, L)
    ring_action: NDArray[np.int64],  # (u, L)
    ring_time_ms: NDArray[np.int64],  # (u, L)
    rows: int,  # of each half of the item table, a power of two
    look_item: NDArray[np.int32],  # (n, w, 2) out: item rows
    look_action: NDArray[np.int32],  # (n, w) out
    look_age_s: NDArray[np.float32],  # (n, w) out
    look_same: NDArray[np.bool_],  # (n, w) out
) -> None:
    """The last w <= L positions up to and with each event: those of this batch, before them the user's ring."""
    n, width = look_action.shape
    length = ring_action.shape[1]
    low, bits = np.uint64(rows - 1), np.uint64(round(math.log2(rows)))
    nth = 0
    for i in range(n):
        user = row[i]
        nth = nth + 1 if i > 0 and row[i - 1] == user else 0
        for j in range(width):
            back = width - 1 - j
            if back <= nth:
                key, kind, when = item[i - back], action[i - back], time_ms[i - back]
            else:
                place = length - (back - nth)
                key, kind, when = ring_item[user, place], ring_action[user, place], ring_time_ms[user, place]
            look_action[i, j] = kind
            look_age_s[i, j] = max(time_ms[i] - when, 0) / 1000.0
            if key == np.uint64(0):
                look_item[i, j, 0] = 0
                look_item[i, j, 1] = 0
                look_same[i, j] = False
            else:
                look_item[i, j, 0] = np.int64(key & low) + 1
                look_item[i, j, 1] = np.int64((key >> bits) & low) + rows + 1
                look_same[i, j] = key == item[i]
