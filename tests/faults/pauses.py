"""How long each partition said nothing: follows the predictions of a run, whatever happens to the broker."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

from aiokafka.errors import KafkaError

from stream_app.errors import DependencyError
from stream_app.settings import Settings
from stream_app.transport.log_reader import LogReader

RETRY_S = 0.2


@dataclass
class Follower:
    """A read_committed reader of the predictions; remembers when each was made, per partition."""

    settings: Settings
    topic: str
    made_ms: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))

    async def run(self) -> None:
        """Until cancelled."""
        partitions = [(self.topic, p) for p in range(self.settings.topics.partitions)]
        while True:
            reader = LogReader(self.settings.broker, partitions)
            self.made_ms.clear()
            try:
                await reader.start()
                while True:
                    for record in await reader.fetch():
                        self.made_ms[record.partition].append(record.timestamp)
            except (DependencyError, KafkaError):
                await asyncio.sleep(RETRY_S)
            finally:
                await reader.stop()

    def flowing_since(self, time_ms: int) -> bool:
        """Every partition has predicted after that time."""
        partitions = range(self.settings.topics.partitions)
        return all(self.made_ms[p] and self.made_ms[p][-1] > time_ms for p in partitions)

    def longest_s(self, start_ms: int, end_ms: int) -> float:
        """The longest silence of any partition that touches the span, seconds."""
        longest_ms = 0
        for made_ms in self.made_ms.values():
            gaps = pairwise(sorted(made_ms))
            longest_ms = max([longest_ms, *(b - a for a, b in gaps if b >= start_ms and a <= end_ms)])
        return longest_ms / 1000


def now_ms() -> int:
    """Wall clock."""
    return time.time_ns() // 1_000_000
