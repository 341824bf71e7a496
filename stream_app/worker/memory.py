"""Free memory goes back to the system: batches of many sizes leave holes that glibc keeps, and more every minute."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import time
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)

TRIM_S = 30.0
LARGE = 5 << 18
"""Bytes from which an array is mapped on its own and unmapped when freed. glibc raises its threshold to the largest
array that was freed (up to 32 MiB), so that soon all of them lie in the heap, among what lives longer. Above what the
model makes of 2,048 events and 128 to 143 numbers each: mapping those for every batch took a fifth of scoring."""
TOP = 64 << 20
"""Bytes that stay free at the end of the heap, as they do where glibc chooses: less is given back and faulted in again
with every batch."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of mallopt(3)."""


async def keep_trimmed() -> None:
    """Every TRIM_S, on a thread; ends at once where there is no malloc_trim(3)."""
    give_back = trimmer()
    while give_back is not None:
        await asyncio.sleep(TRIM_S)
        began_s = time.perf_counter()
        some = await asyncio.to_thread(give_back, 0)
        log.debug("trimmed", extra={"some": bool(some), "seconds": round(time.perf_counter() - began_s, 4)})


def trimmer() -> Callable[[int], int] | None:
    """glibc's malloc_trim: takes the bytes to leave at the top, returns 1 when some went back."""
    found: Callable[[int], int] | None = _of_glibc("malloc_trim")
    return found


def keep_large_apart() -> None:
    """Large arrays leave no holes from now on, in the whole process.

    Nothing where the C library is another, or where the environment has a threshold.
    """
    set_option = _of_glibc("mallopt") if trimmer() is not None else None
    if set_option is not None and "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        set_option(M_MMAP_THRESHOLD, LARGE)
        set_option(M_TRIM_THRESHOLD, TOP)


def _of_glibc(name: str) -> Any:
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):  # another C library, or another system
        return None
