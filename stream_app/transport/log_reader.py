"""Reading a partition from its beginning: state restore, the item index, accounts of a run. No consumer group."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from stream_app.records import RecordLike
from stream_app.settings import Broker
from stream_app.transport.connection import client_options, failure

FIND_MS = 3_000


class LogReader:
    """A read_committed reader of chosen partitions."""

    def __init__(self, broker: Broker, partitions: Sequence[tuple[str, int]], *, wait_ms: int = 100) -> None:
        self._partitions = [TopicPartition(*tp) for tp in partitions]
        self._consumer = AIOKafkaConsumer(
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=8 << 20,
            fetch_max_wait_ms=wait_ms,
            **client_options(broker),
        )

    async def start(self, *, paused: bool = False) -> None:
        """Connect, at the beginning of every partition; `paused`: only to find records."""
        try:
            await self._consumer.start()
            self._consumer.assign(self._partitions)
            # not seek_to_beginning: it waits for ever where a partition's leader is only just elected
            for tp, first in (await self._consumer.beginning_offsets(self._partitions)).items():
                self._consumer.seek(tp, first)
            if paused:
                self._consumer.pause(*self._partitions)
        except KafkaError as error:
            await self._consumer.stop()
            raise failure(error, "reading", operation="READ") from error

    async def stop(self) -> None:
        """Disconnect."""
        await self._consumer.stop()

    async def seek(self, offset: int) -> bool:
        """Go on from there in the one partition; False, and nothing done, where the log does not reach over it."""
        (tp,) = self._partitions
        first = (await self._consumer.beginning_offsets([tp]))[tp]
        end = (await self._consumer.end_offsets([tp]))[tp]
        if not first <= offset < end:
            return False
        self._consumer.seek(tp, offset)
        return True

    async def rewind(self) -> None:
        """Go back to the beginning of the one partition."""
        (tp,) = self._partitions
        self._consumer.seek(tp, (await self._consumer.beginning_offsets([tp]))[tp])

    async def fetch(self, timeout_ms: int = 200, *, most: int | None = None) -> list[RecordLike]:
        """What has arrived, at most so many, in order within each partition; empty after the timeout."""
        try:
            fetched = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=most)
        except TopicAuthorizationFailedError as error:
            raise failure(error, "reading", operation="READ") from error
        return [record for records in fetched.values() for record in records]

    async def find(self, topic: str, partition: int, offset: int) -> RecordLike | None:
        """The record at a place; None where it is no longer. Of a reader that fetches nothing else, one at a time."""
        tp = TopicPartition(topic, partition)
        self._consumer.seek(tp, offset)
        self._consumer.resume(tp)
        try:
            fetched = await self._consumer.getmany(tp, timeout_ms=FIND_MS, max_records=1)
        except KafkaError:
            return None
        finally:
            self._consumer.pause(tp)
        return next((record for record in fetched.get(tp, ()) if record.offset == offset), None)

    async def to_end(self, most: int | None = None) -> AsyncGenerator[list[RecordLike]]:
        """Chunks of at most so many until the end that each partition had at the call (its last stable offset)."""
        ends = await self._consumer.end_offsets(self._partitions)
        while any([await self._consumer.position(tp) < end for tp, end in ends.items()]):
            yield await self.fetch(most=most)


async def read_all(broker: Broker, partitions: Sequence[tuple[str, int]]) -> list[RecordLike]:
    """Every committed record of the partitions, as of now."""
    reader = LogReader(broker, partitions)
    await reader.start()
    try:
        return [record async for chunk in reader.to_end() for record in chunk]
    finally:
        await reader.stop()
