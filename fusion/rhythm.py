"""How often and how lately a user comes, one loop in machine code; pure Python with NUMBA_DISABLE_JIT=1."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

RHYTHM = 9
VISIT_H = 0.5
"""A pause of so many hours ends a visit."""
HOUR_S = np.float32(3600.0)


def rhythm(
    gap_s: NDArray[np.float32], acts: NDArray[np.int64], age_s: NDArray[np.float32], action: NDArray[np.int32]
) -> NDArray[np.float32]:
    """(n, 9), all about 0..1, from the last events that are looked back at (n, w), newest last, action 0 where none.

    Events so far, gap before this one; how many are looked at, over what time, at what mean distance, 1 for the first;
    visits among them, the mean time between those and the last one: frequency and recency (Fader, Hardie and Lee
    2005, "RFM and CLV").
    """
    made = np.empty((len(gap_s), RHYTHM), np.float32)
    fill(gap_s, acts, age_s, action, made)
    return made


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def fill(
    gap_s: NDArray[np.float32],  # (n,)
    acts: NDArray[np.int64],  # (n,)
    age_s: NDArray[np.float32],  # (n, w)
    action: NDArray[np.int32],  # (n, w)
    made: NDArray[np.float32],  # (n, 9) out
) -> None:
    """See `rhythm`."""
    count, width = age_s.shape
    for i in range(count):
        seen, visits = 0, 0
        span_h, away_h, last_h = 0.0, 0.0, 0.0
        for j in range(width):
            if action[i, j] == 0:
                continue
            seen += 1
            age_h = age_s[i, j] / HOUR_S
            span_h = max(span_h, float(age_h))
            if j + 1 < width:
                pause_h = age_h - age_s[i, j + 1] / HOUR_S
                if pause_h >= VISIT_H:
                    visits += 1
                    away_h += pause_h
                    last_h = float(pause_h)
        made[i, 0] = math.log1p(acts[i]) / 5
        made[i, 1] = math.log1p(max(float(gap_s[i]), 0.0) / 60) / 10
        made[i, 2] = math.log1p(span_h) / 8
        made[i, 3] = seen / 32
        made[i, 4] = math.log1p(span_h / max(seen - 1, 1)) / 8
        made[i, 5] = 1.0 if seen == 1 else 0.0
        made[i, 6] = visits / 8
        made[i, 7] = math.log1p(away_h / max(visits, 1)) / 6
        made[i, 8] = math.log1p(last_h) / 6
