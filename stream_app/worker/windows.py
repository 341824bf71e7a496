"""The worker of `stream_app.windows`: a Faust application whose tasks count, each batch one transaction."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from faust.types import TP

from stream_app.errors import StateError
from stream_app.records import OutputColumns, RecordLike
from stream_app.settings import Broker
from stream_app.transport import admin
from stream_app.transport.consumer import BatchApp, RecordBatch, batch_app
from stream_app.transport.log_reader import LogReader
from stream_app.transport.transaction import Packed, TaskProducer
from stream_app.windows.clicks import ClickWindows

log = logging.getLogger(__name__)

EXIT_STATE = 70
POSITION = b""
"""Key of the changelog record that says up to which offset the state has counted; no user is called that."""
Ack = Callable[[], object]
Crash = Callable[[BaseException], None]


@dataclass(frozen=True)
class WindowSettings:
    """What to count and how to cut it into transactions."""

    broker: Broker
    name: str = "windows"
    """Consumer group; transactional ids and the changelog's name derive from it."""
    source: str = "clicks"
    output: str = "click-windows"
    batch_events: int = 8_000
    """Most events of one transaction; a backlog fills it."""
    pace_ms: float = 10.0
    """Least time between the beginnings of two small transactions of a task."""
    inbox_events: int = 16_000
    drain_s: float = 20.0
    data_dir: Path = field(default_factory=lambda: Path.home() / ".cache" / "stream-app" / "windows")

    @property
    def changelog(self) -> str:
        """The compacted topic that holds the state."""
        return f"{self.name}-changelog"


class WindowTask:
    """One partition: its state, its producer, what waits. The next batch is counted while the last one commits."""

    def __init__(self, number: int, settings: WindowSettings, crash: Crash) -> None:
        self._number = number
        self._settings = settings
        self._crash = crash
        self._windows = ClickWindows()
        self._producer = TaskProducer(settings.broker, group=settings.name, partition=number)
        self._waiting: deque[tuple[list[RecordLike], Ack]] = deque()
        self._held = 0
        self._news = asyncio.Event()
        self._draining = False
        self._taken_s = 0.0
        self._runner: asyncio.Task[None] | None = None
        self._commit: asyncio.Task[None] | None = None
        self.position = 0  # of the next click to count
        self.late = self.refused = 0

    async def start(self) -> int:
        """Fence the previous owner, then restore; returns the users found."""
        await self._producer.start()
        reader = LogReader(self._settings.broker, [(self._settings.changelog, self._number)])
        await reader.start()
        last: dict[bytes, bytes | None] = {}
        try:
            async for chunk in reader.to_end():
                last |= {record.key: record.value for record in chunk if record.key is not None}
        finally:
            await reader.stop()
        self.position = int(last.pop(POSITION, None) or 0)
        held = {key: value for key, value in last.items() if value}
        self._windows.restore(held)
        return len(held)

    def run(self) -> None:
        """Start (again) to take what arrives."""
        self._draining = False
        self._runner = asyncio.create_task(self._run(), name=f"windows-{self._number}")

    def feed(self, records: list[RecordLike], ack: Ack) -> None:
        """Queue what one fetch brought."""
        self._waiting.append((records, ack))
        self._held += len(records)
        self._news.set()

    @property
    def accepts(self) -> bool:
        """Whether there is room for more."""
        return self._held < self._settings.inbox_events

    async def drain(self) -> None:
        """Commit what was taken, forget what was not."""
        self._draining = True
        self._news.set()
        if self._runner is not None:
            done, _ = await asyncio.wait([self._runner], timeout=self._settings.drain_s)
            if not done:
                raise StateError(f"task {self._number} did not finish within {self._settings.drain_s} s")
            self._runner = None
        self._waiting.clear()
        self._held = 0

    async def stop(self) -> None:
        """Close the producer."""
        await self._producer.stop()

    async def _run(self) -> None:
        try:
            while not self._draining:
                if not self._held:
                    self._news.clear()
                    await self._news.wait()
                elif not await self._must_wait():
                    await self._advance()
            await self._settle()
        except Exception as error:  # the state may be ahead of the log
            self._crash(error)

    async def _must_wait(self) -> bool:
        """Let a small batch grow while the last one commits, and to the pace; True after waiting."""
        if self._held >= self._settings.batch_events:
            return False
        if self._commit is not None and not self._commit.done():
            self._news.clear()
            news = asyncio.ensure_future(self._news.wait())
            await asyncio.wait([news, self._commit], return_when=asyncio.FIRST_COMPLETED)
            news.cancel()
            return True
        pause_s = self._taken_s + self._settings.pace_ms / 1000 - time.monotonic()
        if pause_s > 0:
            await asyncio.sleep(pause_s)
            return True
        return False

    async def _advance(self) -> None:
        self._taken_s = time.monotonic()
        taken: list[RecordLike] = []
        acks: list[Ack] = []
        while self._waiting and len(taken) < self._settings.batch_events:
            records, ack = self._waiting.popleft()
            taken += records
            acks.append(ack)
        self._held -= len(taken)
        answer = self._windows.step([record.value for record in taken])
        self.late += answer.late
        self.refused += answer.refused
        self.position = taken[-1].offset + 1
        keys, values = [*answer.state_keys, POSITION], [*answer.state_values, b"%d" % self.position]
        settings = self._settings
        output = OutputColumns(settings.output, answer.keys, answer.values)
        packed = self._producer.pack((), [output, OutputColumns(settings.changelog, keys, values)])
        await self._settle()
        offsets = {(settings.source, self._number): self.position}
        self._commit = asyncio.create_task(self._publish(packed, offsets, acks))

    async def _publish(self, packed: Packed, offsets: Mapping[tuple[str, int], int], acks: list[Ack]) -> None:
        await self._producer.commit(packed, offsets)
        for ack in acks:
            ack()

    async def _settle(self) -> None:
        if self._commit is not None:
            commit, self._commit = self._commit, None
            await commit


class WindowWorker:
    """Owner of the tasks of one process (see transport.consumer.Owner)."""

    def __init__(self, settings: WindowSettings) -> None:
        self._settings = settings
        self._tasks: dict[int, WindowTask] = {}
        self._stopping = asyncio.Event()
        self._app: BatchApp

    async def run(self) -> None:
        """Count until SIGTERM or SIGINT; what was taken is committed before it returns."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        settings = self._settings
        counts = await admin.partition_counts(settings.broker, [settings.source])
        plans = [
            admin.TopicPlan(settings.output, counts[settings.source], 1, {}),
            admin.TopicPlan(settings.changelog, counts[settings.source], 1, {"cleanup.policy": "compact"}),
        ]
        await admin.create(settings.broker, plans)
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        self._app = batch_app(settings.name, settings.broker, data_dir=str(settings.data_dir), quiet=1)
        self._app.owner = self
        topic = self._app.topic(
            settings.source, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
        )
        self._app.agent(topic, name=f"{settings.name}.count")(self._feed)
        gc.freeze()
        gc.set_threshold(50_000, 50, 50)  # a batch makes thousands of objects and no cycles
        await self._app.start()
        await self._stopping.wait()
        self._app.consumer.stop_flow()
        await asyncio.gather(*[task.drain() for task in self._tasks.values()])
        await asyncio.gather(*[task.stop() for task in self._tasks.values()])
        self._tasks.clear()
        await self._app.stop()

    def crash(self, error: BaseException) -> None:
        """The state may be ahead of the log: end at once."""
        log.critical("windows worker ends", exc_info=error)
        os._exit(EXIT_STATE)

    async def assign(self, tps: frozenset[TP]) -> None:
        """Fence, restore and run a task per partition."""
        numbers = {tp.partition for tp in tps}
        for number in self._tasks.keys() - numbers:
            await self._tasks.pop(number).stop()
        fresh = {number: WindowTask(number, self._settings, self.crash) for number in numbers - self._tasks.keys()}
        users = await asyncio.gather(*[task.start() for task in fresh.values()])
        self._tasks |= fresh
        for task in self._tasks.values():
            task.run()
        log.info("assigned %s with %d users", sorted(numbers), sum(users))

    async def revoke(self, tps: frozenset[TP]) -> None:
        """Everything taken is committed before the partitions may go elsewhere."""
        numbers = {tp.partition for tp in tps}
        await asyncio.gather(*[task.drain() for number, task in self._tasks.items() if number in numbers])

    def accepts(self, tp: TP) -> bool:
        """Whether the partition's task has room."""
        task = self._tasks.get(tp.partition)
        return task is not None and task.accepts

    def seen(self, tps: frozenset[TP]) -> dict[TP, int]:
        """Up to where the states have counted."""
        return {tp: self._tasks[tp.partition].position for tp in tps if tp.partition in self._tasks}

    def resume(self, offsets: Mapping[TP, int]) -> None:
        """Each batch brings its own position."""

    async def _feed(self, stream: AsyncIterator[object]) -> None:
        async for event in stream.noack().events():  # type: ignore[attr-defined]
            batch: RecordBatch = event.value
            task = self._tasks.get(batch.tp.partition)
            current = event.message.generation_id == self._app.consumer_generation_id
            if task is not None and current and not self._app.rebalancing:
                task.feed(batch.records, event.ack)  # else it is read again after the rebalance
