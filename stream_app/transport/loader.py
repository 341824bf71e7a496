"""Producing events at speed: keyed like every Kafka client does, whole batches at once, idempotent."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from stream_app.errors import DependencyError
from stream_app.records import OutputRecord
from stream_app.settings import Broker
from stream_app.transport.connection import client_options, compression
from stream_app.transport.packing import pack


class Loader:
    """A producer for simulators and replays. Partitions follow the key (murmur2) unless the record names one."""

    def __init__(self, broker: Broker) -> None:
        self._producer = AIOKafkaProducer(
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            max_batch_size=512 << 10,
            max_request_size=4 << 20,
            compression_type=compression(broker),
            retry_backoff_ms=20,
            **client_options(broker),
        )
        self._counts: dict[str, int] = {}
        self._hashes: dict[bytes, int] = {}

    async def start(self) -> None:
        """Connect."""
        try:
            await self._producer.start()
        except KafkaError as error:
            await self._producer.stop()
            raise DependencyError(f"broker: {error}") from error

    async def stop(self) -> None:
        """Disconnect."""
        await self._producer.stop()

    async def send(self, records: Iterable[OutputRecord]) -> None:
        """Deliver all of them, each partition in order; returns when the broker has them."""
        try:
            groups: defaultdict[tuple[str, int], list[OutputRecord]] = defaultdict(list)
            for record in records:
                groups[record.topic, await self._partition(record)].append(record)
            sent = [
                await self._producer.send_batch(builder, topic, partition=partition)
                for (topic, partition), group in groups.items()
                for builder in pack(self._producer, group)
            ]
            await asyncio.gather(*sent)
        except KafkaError as error:
            raise DependencyError(f"broker: {error}") from error

    async def _partition(self, record: OutputRecord) -> int:
        if record.partition is not None:
            return record.partition
        count = self._counts.get(record.topic)
        if count is None:
            count = self._counts[record.topic] = len(await self._producer.partitions_for(record.topic))
        key = record.key or b""
        hashed = self._hashes.get(key)
        if hashed is None:
            if len(self._hashes) > 1_000_000:
                self._hashes.clear()
            hashed = self._hashes[key] = murmur2(key) & 0x7FFFFFFF
        return hashed % count
