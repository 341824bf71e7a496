"""Records to Kafka record batches, built and compressed at once: the client's per-message path is not used."""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from stream_app.records import OutputRecord


def pack(producer: AIOKafkaProducer, records: Sequence[OutputRecord]) -> list[BatchBuilder]:
    """Closed batches of these records of one partition, in order. CPU only."""
    builders = [producer.create_batch()]
    for _, key, value, headers, timestamp, _ in records:
        added = headers if type(headers) is list else list(headers)  # the builder takes nothing but a list
        if builders[-1].append(timestamp=timestamp, key=key, value=value, headers=added) is None:
            builders.append(producer.create_batch())
            builders[-1].append(timestamp=timestamp, key=key, value=value, headers=added)
    for builder in builders:
        builder.close()
    return builders
