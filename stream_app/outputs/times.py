"""Times as outputs write them."""

import numpy as np
from numpy.typing import NDArray


def rfc3339(time_ms: NDArray[np.int64]) -> list[str]:
    """(n,) epoch milliseconds as `2024-05-01T12:00:00.123Z`: UTC, always three digits."""
    texts: list[str] = np.datetime_as_string(time_ms.astype("M8[ms]"), timezone="UTC").tolist()
    return texts
