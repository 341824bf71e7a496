"""When answers may leave something out so that the records behind them need not wait so long. Knows no Kafka."""

from __future__ import annotations

import logging

from fusion.features import TIERS

log = logging.getLogger(__name__)


class Overload:
    """One per worker. Tier i (of TIERS) begins at a lag of `overload_s` * 2^(i - 1) and ends at half of that.

    The lag is the age of the oldest record that waits, by its Kafka time: a producer that stamps its records with older
    times looks like one. 0 s: always full.
    """

    def __init__(self, overload_s: float) -> None:
        self._overload_s = overload_s
        self._level = 0

    @property
    def tier(self) -> str:
        """Of the batches that begin now."""
        return TIERS[self._level]

    def look(self, lag_s: float) -> None:
        """Go one tier further, or back, or neither. Once a second."""
        if not self._overload_s:
            return
        before, level = self.tier, self._level
        if level + 1 < len(TIERS) and lag_s >= self._begins_s(level + 1):
            self._level += 1
        elif level and lag_s < self._begins_s(level) / 2:
            self._level -= 1
        if self.tier != before:
            log.warning("overload", extra={"tier": self.tier, "before": before, "lag_s": round(lag_s, 1)})

    def _begins_s(self, level: int) -> float:
        begins_s: float = self._overload_s * 2 ** (level - 1)
        return begins_s
