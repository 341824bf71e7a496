"""An audit of the topics of a pipeline as they are now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from stream_app.audit.answers import Answers
from stream_app.audit.ledger import Ledger
from stream_app.audit.parity import Parity
from stream_app.outputs.topics import TopicNames
from stream_app.records import RecordLike
from stream_app.settings import Settings
from stream_app.transport import admin
from stream_app.transport.log_reader import LogReader

Told = Callable[[str, int], object]
"""Hears what is being read and how many records of it."""


async def audit(
    settings: Settings, *, from_ms: int | None = None, to_ms: int | None = None, told: Told = lambda *_: None
) -> dict[str, Any]:
    """The ledger of the input records that Kafka got in [from_ms, to_ms); outputs are always read whole."""
    settings = await admin.settled(settings)
    names = TopicNames(settings.topics.prefix)
    committed = await admin.committed(settings.broker, settings.pipeline.name)
    answers = Answers(names)
    outputs = (names.predictions, names.late_events, names.dead_letters, names.repartition)
    async for chunk in _read(settings, outputs, told):
        answers.add(chunk)
    ledger = Ledger(names, committed, answers)
    first, last = from_ms or 0, to_ms or 1 << 62
    async for chunk in _read(settings, (*names.inputs, names.repartition), told):
        for (topic, partition), records in _split(r for r in chunk if first <= r.timestamp < last).items():
            ledger.add(topic, partition, records)
    return ledger.result(whole=from_ms is None and to_ms is None)


async def parity(settings: Settings, *, told: Told = lambda *_: None) -> dict[str, Any]:
    """Features made again from the raw topics, against the digests that the predictions carry."""
    settings = await admin.settled(settings)
    names = TopicNames(settings.topics.prefix)
    compared = Parity(names, settings.state.model_dump())
    async for chunk in _read(settings, (names.predictions,), told):
        compared.add_predictions(chunk)
    async for chunk in _read(settings, (*names.inputs, names.repartition), told):
        for (topic, partition), records in _split(chunk).items():
            compared.add_inputs(topic, partition, records)
    return compared.result()


async def _read(settings: Settings, topics: Iterable[str], told: Told) -> AsyncIterator[list[RecordLike]]:
    for topic in topics:
        reader = LogReader(settings.broker, [(topic, p) for p in range(settings.topics.partitions)])
        await reader.start()
        try:
            async for chunk in reader.to_end():
                told(topic, len(chunk))
                yield chunk
        finally:
            await reader.stop()


def _split(records: Iterable[RecordLike]) -> dict[tuple[str, int], list[RecordLike]]:
    """By partition, in offset order."""
    split: defaultdict[tuple[str, int], list[RecordLike]] = defaultdict(list)
    for record in records:
        split[record.topic, record.partition].append(record)
    return split
