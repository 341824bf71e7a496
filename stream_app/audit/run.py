"""An audit of the topics of a pipeline as they are now: one partition number after the other, so that memory is that
of one of them."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from stream_app.audit.answers import Answers, Reading, place
from stream_app.audit.history import Fetch, history
from stream_app.audit.ledger import Accounts, Ledger
from stream_app.audit.parity import Parity
from stream_app.errors import SettingsError
from stream_app.outputs.topics import TopicNames
from stream_app.records import RecordLike
from stream_app.settings import Settings
from stream_app.state import StateSettings
from stream_app.transport import admin
from stream_app.transport.log_reader import LogReader
from stream_app.worker.routing import ORIGIN

Told = Callable[[str, int], object]
"""Hears what is being read and how many records of it."""
CHUNK = 2_000
"""Records in memory at a time, of one topic."""


async def audit(
    settings: Settings, *, from_ms: int | None = None, to_ms: int | None = None, told: Told = lambda *_: None
) -> dict[str, Any]:
    """The ledger of the input records that Kafka got in [from_ms, to_ms); outputs are always read whole."""
    log = await Log.open(settings, told)
    accounts = Accounts()
    for partition in range(log.settings.topics.partitions):
        answers = await log.answers(partition)
        ledger = await log.ledger(partition, answers, from_ms=from_ms or 0, to_ms=to_ms or 1 << 62)
        whole = from_ms is None and to_ms is None
        accounts.add(ledger, partition, answers, whole=whole)
    return accounts.result()


async def parity(settings: Settings, *, told: Told = lambda *_: None) -> dict[str, Any]:
    """Features made again from the raw topics, against the digests that the predictions carry.

    `mismatch`: other features; `missing`: inputs that are owed a prediction and have none; `extra`: predictions
    without an input, or a second one for the same event.
    """
    log = await Log.open(settings, told)
    state = StateSettings(**log.settings.state.model_dump())
    totals = {"compared": 0, "mismatch": 0, "missing": 0, "extra": 0}
    tiers: Counter[str] = Counter()
    differing: list[dict[str, Any]] = []
    for partition in range(log.settings.topics.partitions):
        answers = await log.answers(partition)
        ledger = await log.ledger(partition, answers)
        again = Parity(state, partition, answers, inputs=len(log.inputs))
        async with AsyncExitStack() as stack:
            fetches = [await log.fetch(stack, topic, partition) for topic in log.inputs]
            async for span in history(log.names, answers, fetches):
                again.add(span)
        totals["compared"] += again.compared
        totals["mismatch"] += again.mismatch
        totals["missing"] += sum(count["unexplained"] for count in ledger.counts.values())
        totals["extra"] += ledger.unclaimed
        tiers += answers.tiers
        differing += [again.first_differing] if again.first_differing else []
    return {**totals, "tiers": dict(tiers), "first_differing": differing}


@dataclass(frozen=True)
class Log:
    """The topics of one pipeline, read one partition number at a time."""

    settings: Settings
    names: TopicNames
    committed: Mapping[tuple[str, int], int]
    begins: Mapping[tuple[str, int], int]
    told: Told
    routed: Mapping[int, array[int]]  # places of records that left a partition number for another

    @staticmethod
    async def open(settings: Settings, told: Told) -> Log:
        """As the topics are now."""
        settings = await admin.settled(settings)
        names = TopicNames(settings.topics.prefix)
        inputs = {name: at for at, name in enumerate((*names.inputs, names.repartition))}
        committed = await admin.committed(settings.broker, settings.pipeline.name)
        bounds = await admin.bounds(settings.broker, [*inputs, names.predictions])
        if missing := [name for name in (*inputs, names.predictions) if (name, 0) not in bounds]:
            raise SettingsError(f"no topic {missing[0]}: is topics.prefix right ({settings.topics.prefix})?")
        routed: defaultdict[int, array[int]] = defaultdict(lambda: array("q"))
        log = Log(settings, names, committed, {tp: first for tp, (first, _) in bounds.items()}, told, routed)
        for partition in range(settings.topics.partitions):
            async for chunk in log.read(names.repartition, partition):
                for record in chunk:
                    headers = dict(record.headers)
                    where = place(inputs[headers[ORIGIN].decode()], int(headers["origin.offset"]))
                    routed[int(headers["origin.partition"])].append(where)
        return log

    @property
    def inputs(self) -> tuple[str, ...]:
        """In the order of `positions`."""
        return (*self.names.inputs, self.names.repartition)

    async def answers(self, partition: int) -> Answers:
        """What the outputs say."""
        reading = Reading(self.names)
        reading.routed(self.routed[partition])
        for topic in (self.names.predictions, self.names.late_events, self.names.dead_letters):
            async for chunk in self.read(topic, partition):
                reading.add(chunk)
        return reading.answers()

    async def ledger(self, partition: int, answers: Answers, *, from_ms: int = 0, to_ms: int = 1 << 62) -> Ledger:
        """What became of the inputs that Kafka got in [from_ms, to_ms)."""
        ledger = Ledger(self.names, partition, answers, committed=self.committed, begins=self.begins)
        for topic in self.inputs:
            async for chunk in self.read(topic, partition):
                if records := [record for record in chunk if from_ms <= record.timestamp < to_ms]:
                    ledger.add(topic, records)
        ledger.close()
        return ledger

    async def read(self, topic: str, partition: int) -> AsyncIterator[list[RecordLike]]:
        """In offset order."""
        async with AsyncExitStack() as stack:
            fetch = await self.fetch(stack, topic, partition)
            while chunk := await fetch():
                yield chunk

    async def fetch(self, stack: AsyncExitStack, topic: str, partition: int) -> Fetch:
        """Chunk after chunk of one partition to the end that it has now; closed with the stack."""
        reader = LogReader(self.settings.broker, [(topic, partition)])
        await reader.start()
        stack.push_async_callback(reader.stop)
        chunks = reader.to_end(CHUNK)
        stack.push_async_callback(chunks.aclose)

        async def next_chunk() -> list[RecordLike]:
            while (chunk := await anext(chunks, None)) == []:
                pass
            self.told(topic, len(chunk or ()))
            return chunk or []

        return next_chunk
