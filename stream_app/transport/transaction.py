"""One transactional producer per task: outputs, changelog and input offsets become visible together or not at all."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced
from aiokafka.producer.message_accumulator import BatchBuilder

from stream_app.errors import StateError, StreamAppError
from stream_app.records import OutputRecord
from stream_app.settings import Broker
from stream_app.transport.connection import DENIED, client_options, compression, failure
from stream_app.transport.packing import pack

Packed = list[tuple[str, int, list[BatchBuilder]]]
"""Closed batches per topic and partition."""
BATCH_BYTES = 512 << 10


class TaskProducer:
    """The producer of one task.

    The transactional id is the task's, never the worker's: starting it fences any other holder of the task and ends
    the transaction that one left open (KIP-98; aiokafka sends TxnOffsetCommit without the group's generation).
    """

    def __init__(self, broker: Broker, *, group: str, partition: int) -> None:
        self._group = group
        self._partition = partition
        self._id = f"{group}-task-{partition}"
        self._producer = AIOKafkaProducer(
            transactional_id=self._id,
            transaction_timeout_ms=broker.transaction_timeout_ms,
            acks="all",
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
            compression_type=compression(broker),
            retry_backoff_ms=5,
            **client_options(broker),
        )

    async def start(self) -> None:
        """Fence the previous owner. Raises DependencyError when the broker does not answer."""
        try:
            await self._producer.start()
        except KafkaError as error:
            await self._producer.stop()
            raise failure(error, "transactional producer", operation="WRITE", on=self._id) from error

    async def stop(self) -> None:
        """Close the connection; a transaction left open is ended by the next start."""
        await self._producer.stop()

    def pack(self, records: Iterable[OutputRecord]) -> Packed:
        """Records to batches per topic and partition; CPU only."""
        targets: defaultdict[tuple[str, int], list[OutputRecord]] = defaultdict(list)
        for record in records:
            partition = self._partition if record.partition is None else record.partition
            targets[record.topic, partition].append(record)
        return [(topic, number, pack(self._producer, group)) for (topic, number), group in targets.items()]

    async def commit(self, packed: Packed, offsets: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], int]:
        """Publish in one transaction; returns the offset of the first record per topic and partition, -1 unknown.

        After any StateError the state in memory is ahead of the log: end the process.
        """
        producer = self._producer
        delivered: list[asyncio.Future[Any]] = []
        try:
            await producer.begin_transaction()
            for topic, partition, builders in packed:
                for builder in builders:
                    delivered.append(await producer.send_batch(builder, topic, partition=partition))
            if offsets:
                positions = {TopicPartition(*tp): offset for tp, offset in offsets.items()}
                await producer.send_offsets_to_transaction(positions, self._group)
            await producer.commit_transaction()
            written = [future.result().offset for future in delivered]
        except (KafkaError, IllegalOperation) as error:
            raise self._failure(error, delivered) from error
        places: dict[tuple[str, int], int] = {}
        targets = [(topic, partition) for topic, partition, builders in packed for _ in builders]
        for target, offset in zip(targets, written, strict=True):
            places.setdefault(target, offset)
        return places

    def _failure(self, error: Exception, delivered: Sequence[asyncio.Future[Any]]) -> StreamAppError:
        """What an error means. One that the client met while there was more to send is with what was sent before."""
        for one in delivered:
            one.cancel()
        met = [one.exception() for one in delivered if not one.cancelled()]
        if isinstance(error, IllegalOperation):
            error = next((one for one in met if isinstance(one, Exception)), error)
        if isinstance(error, ProducerFenced):
            return StateError(f"task {self._partition} has another owner")
        if isinstance(error, tuple(DENIED)):
            return failure(error, f"transaction of task {self._partition}", operation="WRITE")
        return StateError(f"transaction of task {self._partition} failed: {error!r}")
