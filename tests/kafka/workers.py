"""Running workers under test: start, kill, feed, account. Everything real."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_app.cli.produce import send
from stream_app.demo.stack import WorkerProcess, worker_environment
from stream_app.outputs.topics import TopicNames
from stream_app.producers.account import Account, accepted, account
from stream_app.producers.publish import Encoded, Speed, encode
from stream_app.producers.recount import WindowCount, WindowKey, compare_windows, recount
from stream_app.records import RecordLike
from stream_app.settings import Broker, Settings
from stream_app.settings import load as load_settings
from stream_app.transport import admin
from stream_app.transport.connection import client_options
from stream_app.transport.log_reader import LogReader, read_all

INPUTS = ("clicks", "searches", "reviews", "voice-transcripts")
ASIDE = ("late-events", "dead-letters")
QUICK = {"STATE__IDLE_INPUT_MS": "1000", "BROKER__SESSION_TIMEOUT_MS": "6000", "LOG__LEVEL": "INFO"}


@dataclass
class System:
    """One pipeline under its own prefix on a shared broker."""

    settings: Settings
    folder: Path
    more: dict[str, str] = field(default_factory=dict)
    workers: list[WorkerProcess] = field(default_factory=list)

    @property
    def names(self) -> TopicNames:
        return TopicNames(self.settings.topics.prefix)

    async def create_topics(self) -> None:
        await admin.create(self.settings.broker, admin.plans(self.settings.topics))

    def start_worker(self) -> WorkerProcess:
        log = self.folder / f"worker-{len(self.workers)}.log"
        worker = WorkerProcess(log, worker_environment(self.settings, **QUICK, **self.more))
        worker.start()
        self.workers.append(worker)
        return worker

    def stop(self) -> None:
        for worker in self.workers:
            if worker.process is not None and worker.process.poll() is None:
                worker.stop()

    async def send(self, stream: Iterable[Encoded], speed: str = "max") -> int:
        return await send(self.settings, stream, Speed.parse(speed))

    async def read(self, *topics: str) -> list[RecordLike]:
        """Everything committed on the topics (names without prefix)."""
        return await read_all(self.settings.broker, self._places(topics))

    def stream(self, *topics: str, partitions: Iterable[int] | None = None) -> Iterator[RecordLike]:
        """The same, a chunk at a time; blocks, so call it on a thread of its own."""
        chunks = read_chunks(self.settings.broker, self._places(topics, partitions))

        async def following() -> list[RecordLike] | None:
            return await anext(chunks, None)

        with asyncio.Runner() as runner:
            while (chunk := runner.run(following())) is not None:
                yield from chunk

    async def account(self, *, deadline_s: float = 120) -> Account:
        """The account once it balances, or as it is at the deadline."""
        until_s = time.monotonic() + deadline_s
        while True:
            late = time.monotonic() > until_s
            if late or await self.consumed():
                result = await asyncio.to_thread(self._account)
                if late or result.balanced:
                    return result
            await asyncio.sleep(0.5)

    async def predictions(self) -> int:
        return len(await self.read("predictions"))

    async def window_differences(self, *, until_ms: int, deadline_s: float = 60) -> list[str]:
        """Final engagement records against a brute-force recount of the accepted input, both keyed by their users."""
        differences = []
        for partition in range(self.settings.topics.partitions):
            counted = await asyncio.to_thread(self._recount, partition)
            until_s = time.monotonic() + deadline_s
            while found := await asyncio.to_thread(self._compare, partition, counted, until_ms):
                if time.monotonic() > until_s:
                    differences += found
                    break
                await asyncio.sleep(1)
        return differences

    def _places(self, topics: Iterable[str], partitions: Iterable[int] | None = None) -> list[tuple[str, int]]:
        numbers = range(self.settings.topics.partitions) if partitions is None else list(partitions)
        return [(self.names[topic], number) for topic in topics for number in numbers]

    async def consumed(self) -> bool:
        """Whether the group has committed all that the inputs hold."""
        ends = await end_offsets(self.settings.broker, self._places(INPUTS))
        done = await admin.committed(self.settings.broker, self.settings.pipeline.name)
        return all(done.get(place, 0) >= end for place, end in ends.items())

    def _account(self) -> Account:
        return account(self.stream(*INPUTS), self.stream("predictions", *ASIDE))

    def _recount(self, partition: int) -> dict[WindowKey, WindowCount]:
        inputs, aside = (self.stream(*topics, partitions=[partition]) for topics in (INPUTS, ASIDE))
        return recount(accepted(inputs, aside), self.settings.state)

    def _compare(self, partition: int, counted: Mapping[WindowKey, WindowCount], until_ms: int) -> list[str]:
        values = (record.value or b"" for record in self.stream("engagement", partitions=[partition]))
        finals = (orjson.loads(value) for value in values if b'"is_final":false' not in value)
        return compare_windows(finals, counted, until_ms=until_ms)


async def read_chunks(broker: Broker, places: Sequence[tuple[str, int]]) -> AsyncIterator[list[RecordLike]]:
    """Every committed record of the partitions, as of now."""
    reader = LogReader(broker, places)
    await reader.start()
    try:
        async for chunk in reader.to_end():
            yield chunk
    finally:
        await reader.stop()


async def end_offsets(broker: Broker, places: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """The offset after the last record of each partition."""
    consumer = AIOKafkaConsumer(**client_options(broker))
    await consumer.start()
    try:
        ends = await consumer.end_offsets([TopicPartition(*place) for place in places])
    finally:
        await consumer.stop()
    return {(place.topic, place.partition): end for place, end in ends.items()}


async def forget_offsets(broker: Broker, group: str) -> None:
    """As if all that the group committed were gone. A transaction's records may be there before its offsets are."""

    async def committed() -> dict[tuple[str, int], int] | None:
        found = await admin.committed(broker, group)
        return found if any(found.values()) else None

    done = await until(committed)
    consumer = AIOKafkaConsumer(group_id=group, enable_auto_commit=False, **client_options(broker))
    await consumer.start()
    consumer.assign([TopicPartition(*place) for place in done])
    await consumer.commit({TopicPartition(*place): 0 for place in done})
    await consumer.stop()


def settings_for(url: str, prefix: str, folder: Path, *, partitions: int = 4) -> Settings:
    """Settings of a system under test."""
    settings = load_settings(
        broker__url=url,
        topics__prefix=prefix,
        topics__partitions=partitions,
        pipeline__name=prefix.rstrip("."),
        web__port=0,
    )
    return settings.model_copy(update={"data_dir": folder})


async def kill(worker: WorkerProcess) -> None:
    """kill -9 of the process that works; its supervisor starts another."""
    processes = await until(lambda: len(found := worker.children()) > 1 and found)
    os.kill(processes[1], signal.SIGKILL)


async def until(condition: Callable[[], Any], *, deadline_s: float = 60, every_s: float = 0.2) -> Any:
    """The first true answer (awaited if need be); AssertionError at the deadline."""
    until_s = time.monotonic() + deadline_s
    while True:
        answer = condition()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return answer
        assert time.monotonic() < until_s, "it did not come true in time"
        await asyncio.sleep(every_s)


def url_of(worker: WorkerProcess) -> str | None:
    """Where the worker serves HTTP, from its log; of the last start."""
    found = None
    for line in worker.log_file.read_text().splitlines():
        if '"message":"serving"' in line:
            found = orjson.loads(line)["url"]
    return found


def get(url: str) -> tuple[int, bytes]:
    """Status and body."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def last_words(time_ms: int, users: Iterable[str]) -> list[Encoded]:
    """One event of every type for each user, far behind all others: the watermark passes every window before it."""
    bodies: dict[str, dict[str, Any]] = {
        "clicks": {"action": "view", "product_id": "end"},
        "searches": {"query": "end"},
        "reviews": {"product_id": "end", "rating": 3},
        "voice-transcripts": {"transcript": "end"},
    }
    return [
        encode(kind, {"event_id": f"end-{kind}-{user}", "event_time": time_ms, "user_id": user, **body})
        for user in users
        for kind, body in bodies.items()
    ]


def one_user_per_partition(partitions: int) -> list[str]:
    """Names that lie on every partition."""
    from stream_app.worker.routing import partition_of

    found: dict[int, str] = {}
    number = 0
    while len(found) < partitions:
        found.setdefault(partition_of(f"end{number}".encode(), partitions), f"end{number}")
        number += 1
    return list(found.values())
