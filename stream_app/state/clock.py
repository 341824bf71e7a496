"""The watermark of one task: what its inputs have brought so far. Wall time is handed in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_app.state.settings import StateSettings
from stream_app.state.windows import EVER

Record = dict[str, list[int] | int]


class Clock:
    """Largest event time per input, and which inputs are idle.

    The watermark is the least of the live inputs' largest event times less the bound; it never moves back. An input
    that has brought nothing yet holds it back until it is idle.
    """

    def __init__(self, settings: StateSettings, inputs: int) -> None:
        self._settings = settings
        self._largest = [-EVER] * inputs
        self._brought_ms = [-EVER] * inputs  # wall time; -EVER until the first look at the clock
        self._idle = [False] * inputs
        self._moved_ms = -EVER  # wall time of the last event or move of the watermark
        self.watermark_ms = -EVER

    def advance(
        self, source: NDArray[np.uint8], times: NDArray[np.int64], moves: NDArray[np.bool_], now_ms: int
    ) -> NDArray[np.int64]:
        """The watermark before each of the n events and after the last, (n + 1,); `moves` says which events count."""
        self.look(now_ms)
        low = np.full(len(times) + 1, EVER, np.int64)
        for at, largest in enumerate(self._largest):
            own = moves & (source == at)
            if own.any():
                brought = np.maximum.accumulate(np.where(own, times, -EVER))
                line = np.maximum(brought, largest)
                if self._idle[at]:
                    line[brought == -EVER] = EVER
                np.minimum(low[1:], line, out=low[1:])
                low[0] = min(low[0], EVER if self._idle[at] else largest)
                self._largest[at] = max(largest, int(brought[-1]))
                self._idle[at] = False
                self._brought_ms[at] = self._moved_ms = now_ms
            elif not self._idle[at]:
                np.minimum(low, largest, out=low)
        watermark = np.where(low == EVER, -EVER, np.maximum(low - self._settings.bound_ms, -EVER))
        np.maximum.accumulate(np.maximum(watermark, self.watermark_ms), out=watermark)
        self._move(int(watermark[-1]), now_ms)
        return watermark

    def look(self, now_ms: int) -> None:
        """Find the idle inputs; without them the watermark may move."""
        for at, brought_ms in enumerate(self._brought_ms):
            if brought_ms == -EVER:
                self._brought_ms[at] = now_ms
            elif now_ms - brought_ms >= self._settings.idle_input_ms:
                self._idle[at] = True
        if live := [largest for largest, idle in zip(self._largest, self._idle, strict=True) if not idle]:
            self._move(min(live) - self._settings.bound_ms, now_ms)
        elif brought := [largest for largest in self._largest if largest > -EVER]:
            self._move(min(brought) - self._settings.bound_ms, now_ms)

    def idle_clock_ms(self, now_ms: int) -> int:
        """The watermark, moved on by the wall time since the last event while all inputs are idle."""
        if self.watermark_ms == -EVER or not all(self._idle):
            return self.watermark_ms
        return self.watermark_ms + max(0, now_ms - self._moved_ms)

    def _move(self, watermark_ms: int, now_ms: int) -> None:
        if watermark_ms > self.watermark_ms:
            self.watermark_ms, self._moved_ms = watermark_ms, now_ms

    def record(self) -> Record:
        """All of it, for the changelog."""
        return {
            "largest": list(self._largest),
            "brought_ms": list(self._brought_ms),
            "idle": [int(idle) for idle in self._idle],
            "moved_ms": self._moved_ms,
            "watermark_ms": self.watermark_ms,
        }

    def restore(self, record: Record, *, now_ms: int | None) -> None:
        """As recorded. With `now_ms` every input is live again: after an outage each gets its time to catch up."""
        lists = [list(values) for name in ("largest", "brought_ms", "idle") if isinstance(values := record[name], list)]
        self._largest, self._brought_ms = lists[:2]
        self._idle = [bool(idle) for idle in lists[2]]
        self._moved_ms, self.watermark_ms = (int(record[name]) for name in ("moved_ms", "watermark_ms"))  # type: ignore[arg-type]
        if now_ms is not None:
            self._brought_ms = [now_ms] * len(self._largest)
            self._idle = [False] * len(self._largest)
