"""How long each partition said nothing: follows the predictions of a run, whatever happens to the broker."""

from __future__ import annotations

import asyncio
import time
from array import array
from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stream_app.settings import Settings
from stream_app.transport.connection import client_options

RETRY_S = 0.2


@dataclass
class Follower:
    """A read_committed reader of the predictions; remembers when each was made, per partition."""

    settings: Settings
    topic: str
    _made_ms: defaultdict[int, array[int]] = field(default_factory=lambda: defaultdict(lambda: array("q")))
    _next: dict[TopicPartition, int] = field(default_factory=dict)

    async def run(self) -> None:
        """Until cancelled; goes on where it was when the broker comes back."""
        self._next = {TopicPartition(self.topic, p): 0 for p in range(self.settings.topics.partitions)}
        while True:
            consumer = AIOKafkaConsumer(
                isolation_level="read_committed",
                enable_auto_commit=False,
                auto_offset_reset="none",
                **client_options(self.settings.broker),
            )
            try:
                await consumer.start()
                consumer.assign(list(self._next))
                for place, offset in self._next.items():
                    consumer.seek(place, offset)
                while True:
                    for place, records in (await consumer.getmany(timeout_ms=200)).items():
                        self._note(place.partition, [record.timestamp for record in records])
                        self._next[place] = records[-1].offset + 1
            except KafkaError:
                await asyncio.sleep(RETRY_S)
            finally:
                await consumer.stop()

    def flowing_since(self, time_ms: int) -> bool:
        """Every partition has predicted after that time."""
        partitions = range(self.settings.topics.partitions)
        return all(self._made_ms[p] and self._made_ms[p][-1] > time_ms for p in partitions)

    def longest_s(self, start_ms: int, end_ms: int) -> float:
        """The longest silence of any partition that touches the span, seconds."""
        longest_ms = 0
        for made_ms in self._made_ms.values():
            first = max(bisect_left(made_ms, start_ms) - 1, 0)
            touching = made_ms[first : bisect_right(made_ms, end_ms) + 1]
            longest_ms = max([longest_ms, *(b - a for a, b in pairwise(touching))])
        return longest_ms / 1000

    def _note(self, partition: int, times_ms: list[int]) -> None:
        """Keep them in order, once each."""
        made_ms = self._made_ms[partition]
        latest_ms = made_ms[-1] if made_ms else 0
        made_ms.extend(sorted({time_ms for time_ms in times_ms if time_ms > latest_ms}))


def now_ms() -> int:
    """Wall clock."""
    return time.time_ns() // 1_000_000
