"""Free memory goes back to the system: batches of many sizes leave holes that glibc keeps, and more every minute."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

TRIM_S = 30.0


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
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library, or another system
        return None
    return found
