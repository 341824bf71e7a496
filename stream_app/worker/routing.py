"""Records under a wrong key: to the partition of their user first, once, through the repartition topic."""

from __future__ import annotations

from aiokafka.partitioner import murmur2

from stream_app.outputs.topics import TopicNames
from stream_app.records import OutputRecord, RecordLike

ORIGIN = "origin.topic"
ORIGIN_HEADERS = frozenset((ORIGIN, "origin.partition", "origin.offset"))


def partition_of(user: bytes, partitions: int) -> int:
    """Where a user's records belong: Kafka's default partitioner (murmur2)."""
    number: int = (murmur2(user) & 0x7FFFFFFF) % partitions
    return number


def routed(record: RecordLike, user: bytes, *, names: TopicNames, partitions: int) -> OutputRecord:
    """The record under its user's id, on its way to the right partition; value and headers unchanged."""
    headers = [
        *record.headers,
        (ORIGIN, record.topic.encode()),
        ("origin.partition", b"%d" % record.partition),
        ("origin.offset", b"%d" % record.offset),
    ]
    return OutputRecord(
        names.repartition, user, record.value, headers, record.timestamp, partition_of(user, partitions)
    )


def event_type_of(record: RecordLike, names: TopicNames) -> str:
    """The event type of a record of the repartition topic, which only this application writes."""
    origin = next(value for key, value in reversed(record.headers) if key == ORIGIN)
    return names.event_type(origin.decode())
