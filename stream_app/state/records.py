"""Gather and scatter of whole records: NumPy copies structured elements field by field, plain bytes at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Records = NDArray[np.void]


def gathered(column: Records, index: NDArray[np.integer[Any]] | list[int]) -> Records:
    """`column[index]` of a one-dimensional structured column."""
    return _plain(column)[index].view(column.dtype)


def scatter(column: Records, index: NDArray[np.integer[Any]] | list[int] | slice, values: Records) -> None:
    """`column[index] = values`; of several values for one place the last one stays."""
    _plain(column)[index] = _plain(values)


def _plain(column: Records) -> Records:
    return column.view(f"V{column.dtype.itemsize}")
