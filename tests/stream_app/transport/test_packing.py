"""Batches as they go to the broker, without one."""

from __future__ import annotations

import cramjam
from aiokafka import AIOKafkaProducer
from aiokafka.record import MemoryRecords

from stream_app.transport.packing import ZSTD_LEVEL, compress_lightly, pack_columns

HEADER = 61
"""Bytes of a record batch before its records (KIP-98)."""


async def test_columns_come_back_as_records_and_are_compressed_lightly() -> None:
    compress_lightly()
    keys = [b"user-%d" % number for number in range(400)]
    values = [b'{"user":"%s","score":%d}' % (key, at % 7) if at % 9 else None for at, key in enumerate(keys)]
    producer = AIOKafkaProducer(compression_type="zstd", max_batch_size=8 << 10)
    builders = pack_columns(producer, keys, values, timestamp_ms=1_700_000_000_000)
    assert len(builders) > 1
    read = []
    for builder in builders:
        batch = bytes(builder._build())
        packed = batch[HEADER:]
        assert packed == bytes(cramjam.zstd.compress(bytes(cramjam.zstd.decompress(packed)), level=ZSTD_LEVEL))
        records = MemoryRecords(batch)
        while (found := records.next_batch()) is not None:
            read += [(record.key, record.value, record.timestamp) for record in found]
    await producer.stop()
    assert read == [(key, value, 1_700_000_000_000) for key, value in zip(keys, values, strict=True)]
