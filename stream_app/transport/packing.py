"""Records to Kafka record batches, built at once and on the CPU alone: the client's per-message path is not used."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from aiokafka import AIOKafkaProducer, codec
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record import default_records

from stream_app.records import OutputRecord

ZSTD_LEVEL = 1
"""Of predictions and engagement records it makes less than 3, Kafka's default, of states 3 % more, in two thirds of
the time."""


def compress_lightly() -> None:
    """Let aiokafka 0.14 compress with ZSTD_LEVEL in this process: it takes no level."""
    module = sys.modules[default_records.DefaultRecordBatchBuilder.__module__]  # the compiled one, where there is one
    module.zstd_encode = partial(codec.zstd_encode, level=ZSTD_LEVEL)  # type: ignore[attr-defined]


def pack(producer: AIOKafkaProducer, records: Sequence[OutputRecord]) -> list[BatchBuilder]:
    """Closed batches of these records of one partition, in order."""
    builders = [producer.create_batch()]
    for _, key, value, headers, timestamp, _ in records:
        added = headers if type(headers) is list else list(headers)  # the builder takes nothing but a list
        if builders[-1].append(timestamp=timestamp, key=key, value=value, headers=added) is None:
            builders.append(producer.create_batch())
            builders[-1].append(timestamp=timestamp, key=key, value=value, headers=added)
    for builder in builders:
        builder.close()
    return builders


def pack_columns(
    producer: AIOKafkaProducer, keys: Sequence[bytes], values: Sequence[bytes | None], *, timestamp_ms: int
) -> list[BatchBuilder]:
    """The same of keys and values side by side, at less than half the cost."""
    done: list[BatchBuilder] = []
    at = 0
    while at < len(keys):
        builder = producer.create_batch()
        append = builder._builder.append  # the compiled builder; BatchBuilder's own adds nothing but a count
        first = at
        for key, value in zip(keys[at:], values[at:], strict=True):
            if append(at - first, timestamp_ms, key, value, []) is None:
                break
            at += 1
        builder._relative_offset = at - first
        builder.close()
        done.append(builder)
    return done
