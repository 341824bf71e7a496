"""tanh, the logistic function and GELU as quotients of polynomials, for loops in machine code: one that calls these is
vectorised, one that calls `math.tanh` is not.

The coefficients are those of Eigen (`generic_fast_tanh_float` and `generic_fast_erf_float`), minimax over the range in
which float32 tells the answers from their limits. What is not a number stays so.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Number = np.float32

ONE = Number(1.0)
HALF = Number(0.5)
ROOT_HALF = Number(0.7071067811865476)

_FLAT, _LIMIT = Number(7.90531110763549805), Number(4.0)
_T1, _T3, _T5 = Number(4.89352455891786e-03), Number(6.37261928875436e-04), Number(1.48572235717979e-05)
_T7, _T9, _T11 = Number(5.12229709037114e-08), Number(-8.60467152213735e-11), Number(2.00018790482477e-13)
_T13 = Number(-2.76076847742355e-16)
_U0, _U2, _U4 = Number(4.89352518554385e-03), Number(2.26843463243900e-03), Number(1.18534705686654e-04)
_U6 = Number(1.19825839466702e-06)
_E1, _E3, _E5 = Number(-1.60960333262415e-02), Number(-2.95459980854025e-03), Number(-7.34990630326855e-04)
_E7, _E9, _E11 = Number(-5.69250639462346e-05), Number(-2.10102402082508e-06), Number(2.77068142495902e-08)
_E13 = Number(-2.72614225801306e-10)
_F0, _F2, _F4 = Number(-1.42647390514189e-02), Number(-7.37332916720468e-03), Number(-1.68282697438203e-03)
_F6, _F8 = Number(-2.13374055278905e-04), Number(-1.45660718464996e-05)


@njit(inline="always")  # type: ignore[untyped-decorator]
def tanh(x: Number) -> Number:
    """Within 5e-7."""
    x = -_FLAT if x < -_FLAT else _FLAT if x > _FLAT else x
    y = x * x
    above = ((((((_T13 * y + _T11) * y + _T9) * y + _T7) * y + _T5) * y + _T3) * y + _T1) * x
    return above / (((_U6 * y + _U4) * y + _U2) * y + _U0)


@njit(inline="always")  # type: ignore[untyped-decorator]
def logistic(x: Number) -> Number:
    """1 / (1 + exp(-x)) within 3e-7."""
    half: Number = HALF * tanh(HALF * x)
    return HALF + half


@njit(inline="always")  # type: ignore[untyped-decorator]
def erf(x: Number) -> Number:
    """Within 5e-7."""
    x = -_LIMIT if x < -_LIMIT else _LIMIT if x > _LIMIT else x
    y = x * x
    above = ((((((_E13 * y + _E11) * y + _E9) * y + _E7) * y + _E5) * y + _E3) * y + _E1) * x
    return above / ((((_F8 * y + _F6) * y + _F4) * y + _F2) * y + _F0)


@njit(inline="always")  # type: ignore[untyped-decorator]
def _gelu(x: Number) -> Number:
    made: Number = x * HALF * (ONE + erf(x * ROOT_HALF))
    return made


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})  # type: ignore[untyped-decorator]
def gelu(given: NDArray[np.float32], made: NDArray[np.float32]) -> None:
    """Arrays of one length, which may be one and the same."""
    for i in range(len(given)):
        made[i] = _gelu(given[i])


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})  # type: ignore[untyped-decorator]
def gelu_of_sum(rows: NDArray[np.float32], more: NDArray[np.float32]) -> None:
    """Of rows (n, d) with `more` (d,) added, in place: a layer's bias costs no pass of its own."""
    for i in range(len(rows)):
        for d in range(len(more)):
            rows[i, d] = _gelu(rows[i, d] + more[d])
