"""One task: a partition number of all inputs, its users' state, its transactions. The next batch is decoded and
scored while the last one commits."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from stream_app.errors import StateError
from stream_app.events import EventBatch, Rejected, decode
from stream_app.metrics import Metrics
from stream_app.outputs.topics import TopicNames
from stream_app.records import RecordLike
from stream_app.settings import Pipeline as PipelineSettings
from stream_app.transport.log_reader import LogReader
from stream_app.transport.transaction import TaskProducer
from stream_app.worker.beat import due_s, phase_of, rested_s
from stream_app.worker.checkpoints import Checkpoints, Found, last_values
from stream_app.worker.inbox import Ack, Arrival, Inbox, Taken
from stream_app.worker.pipeline import Pipeline, Publication
from stream_app.worker.routing import event_type_of

log = logging.getLogger(__name__)

Committed = Callable[[Publication], None]
SMALL = 512
"""Events of a batch that is sure to be through long before its transaction, begun with it, would time out: even where
the model fails on each of them, and they are tried in ever smaller parts."""
MERGE_S = 0.002
"""How often a batch that is due looks whether the inputs that it waits for have come."""


class Task:
    """Owns one partition number. Everything runs on the event loop but scoring, which the pipeline hands away."""

    def __init__(
        self,
        number: int,
        *,
        names: TopicNames,
        settings: PipelineSettings,
        pipeline: Pipeline,
        producer: TaskProducer,
        metrics: Metrics,
        expecting: Callable[[], list[int]],
        fellows: Callable[[], Collection[Task]],
        committed: Committed,
        checkpoints: Checkpoints | None = None,
        crash: Callable[[BaseException], None],
    ) -> None:
        self.number = number
        self.pipeline = pipeline
        self.inputs = (*names.inputs, names.repartition)
        self._names = names
        self._settings = settings
        self._producer = producer
        self._metrics = metrics
        self._expecting = expecting
        self._fellows = fellows  # all tasks of the worker
        self._committed = committed
        self._checkpoints = checkpoints
        self._crash = crash
        self._inbox = Inbox(len(self.inputs))
        self._news = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._commit: asyncio.Task[None] | None = None
        self._draining = False
        self._blocked_since_s: float | None = None
        self._taken_s = 0.0  # when the last batch was, monotonic
        self.rested_s = 0.0  # when the next may be
        self._working_ms: int | None = None  # Kafka time of the oldest event in hand

    async def start(self, reader: LogReader) -> Found:
        """Fence the previous owner, then restore; returns from what."""
        await self._producer.start()
        await reader.start()
        try:
            found = await last_values(reader, self._checkpoints)
        finally:
            await reader.stop()
        self.pipeline.restore(found.pairs, now_ms=_now_ms(), checkpoint=found.checkpoint)
        if self._checkpoints is not None:
            self._checkpoints.restored(found.offset)
        return found

    def run(self) -> None:
        """Start (again) to take what arrives."""
        self._draining = False
        self._runner = asyncio.create_task(self._run(), name=f"task-{self.number}")
        if self._checkpoints is not None:
            self._checkpoints.run()

    async def drain(self) -> None:
        """Commit what was taken, forget what was not. Raises StateError when that does not end in time."""
        self._draining = True
        self._news.set()
        if self._checkpoints is not None:
            self._checkpoints.leave()
        if self._runner is not None:
            done, _ = await asyncio.wait([self._runner], timeout=self._settings.drain_s)
            if not done:
                raise StateError(f"task {self.number} did not finish its batch within {self._settings.drain_s} s")
            self._runner = None
        self._inbox.clear()

    async def stop(self) -> None:
        """Close the producer."""
        if self._checkpoints is not None:
            await self._checkpoints.stop()
        await self._producer.stop()

    def feed(self, at: int, records: list[RecordLike], ack: Ack) -> None:
        """Decode what one fetch brought of input `at` and queue it."""
        with self._metrics.stage("decode", len(records)):
            arrival = self._decode(at, records, ack)
        self._inbox.push(arrival, time.monotonic())
        self._news.set()
        if self._waiting_everywhere() >= self._settings.pace_events:
            for task in self._fellows():
                task.wake()

    def wake(self) -> None:
        """Look again whether a batch is due."""
        self._news.set()

    def accepts(self, at: int) -> bool:
        """Whether the inbox has room for more of input `at`."""
        return self._inbox.held(at) < self._settings.inbox_events

    @property
    def waiting(self) -> int:
        """Records decoded and not yet taken."""
        return len(self._inbox)

    def lag_s(self, now_ms: int) -> float:
        """Age of the oldest event that waits or is being worked on; 0 when there is none."""
        oldest_ms = min(filter(None, (self._working_ms, self._inbox.oldest_ms)), default=now_ms)
        return max(now_ms - oldest_ms, 0) / 1000

    def _decode(self, at: int, records: list[RecordLike], ack: Ack) -> Arrival:
        if at < len(self._names.inputs):
            decoded = decode(records, event_type=self._names.event_type(self.inputs[at]), source_input=at)
            events, rejected = decoded.events, decoded.rejected
        else:
            events, rejected = self._decode_routed(at, records)
        kept = np.empty(len(events), object)
        if len(rejected) == 0:
            kept[:] = records
        else:
            bad = {one.record.offset for one in rejected}
            kept[:] = [record for record in records if record.offset not in bad]
        return Arrival(at, events, kept, rejected, records[-1].offset, ack)

    def _decode_routed(self, at: int, records: list[RecordLike]) -> tuple[EventBatch, list[Rejected]]:
        kinds = [event_type_of(record, self._names) for record in records]
        parts = [
            decode(
                [r for r, kind in zip(records, kinds, strict=True) if kind == wanted],
                event_type=wanted,
                source_input=at,
            )
            for wanted in dict.fromkeys(kinds)
        ]
        events = EventBatch.concat([part.events for part in parts])
        rejected = sorted((one for part in parts for one in part.rejected), key=lambda one: one.record.offset)
        return events.take(np.argsort(events.offset, kind="stable")), rejected

    async def _run(self) -> None:
        tick_s = self._settings.tick_ms / 1000
        next_tick_s = time.monotonic() + tick_s
        try:
            while not self._draining:
                self._news.clear()
                oldest_ms = self._inbox.oldest_ms
                taken = self._take()
                self._working_ms = None if taken is None else oldest_ms
                if taken is not None:
                    self._begin()
                    if len(taken.records) <= SMALL:
                        self._producer.open()
                    publication = await self.pipeline.run(taken, now_ms=_now_ms())
                    if publication.size < self._settings.batch_events:
                        self.rested_s = rested_s(self._settings, taken_s=self._taken_s, done_s=time.monotonic())
                    await self._advance(publication, taken)
                elif time.monotonic() >= next_tick_s:
                    told = self.pipeline.tick(now_ms=_now_ms())
                    next_tick_s = time.monotonic() + (0 if told is not None and told.goes_on else tick_s)
                    await self._tell(told)
                else:
                    await self._wait(next_tick_s)
            await self._tell(self.pipeline.leave())
            await self._settle()
        except Exception as error:  # the state may be ahead of the log
            self._crash(error)

    def _begin(self) -> None:
        if self._checkpoints is not None:
            self._checkpoints.begin()

    def _take(self) -> Taken | None:
        waiting, now_s = len(self._inbox), time.monotonic()
        if not waiting:
            return None
        if waiting < self._settings.batch_events:
            committing = self._commit is not None and not self._commit.done()
            few = self._waiting_everywhere() < self._settings.pace_events
            if now_s < self._due_s() or (committing and few):
                return None
        expecting = self._expecting()
        taken = self._inbox.take(self._settings.batch_events, expecting)
        if taken is None:
            self._blocked_since_s = self._blocked_since_s or now_s
            if (now_s - self._blocked_since_s) * 1000 < self._settings.merge_wait_ms:
                return None
            taken = self._inbox.take(self._settings.batch_events)
        self._blocked_since_s = None
        self._taken_s = now_s
        return taken

    def _due_s(self) -> float:
        arrived_s, waiting = self._inbox.arrived_s or 0.0, self._waiting_everywhere()
        rested = max(task.rested_s for task in self._fellows())
        return due_s(
            self._settings,
            waiting=waiting,
            arrived_s=arrived_s,
            taken_s=self._taken_s,
            rested_s=rested,
            phase=phase_of(min(task.number for task in self._fellows())),
        )

    def _waiting_everywhere(self) -> int:
        return sum(task.waiting for task in self._fellows())

    async def _wait(self, next_tick_s: float) -> None:
        """Until something changes: news, a commit, the time of the next batch, or the tick."""
        now_s = time.monotonic()
        timeout_s = max(next_tick_s - now_s, 0)
        news = asyncio.ensure_future(self._news.wait())
        waiters: list[asyncio.Future[Any]] = [news]
        if self._commit is not None and not self._commit.done():
            waiters.append(self._commit)
        elif len(self._inbox):
            timeout_s = min(timeout_s, max(self._due_s() - now_s, MERGE_S))
        await asyncio.wait(waiters, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        news.cancel()

    async def _tell(self, publication: Publication | None) -> None:
        """Publish what came of no batch; a checkpoint must know of it as of one."""
        if publication is not None:
            self._begin()
        await self._advance(publication, None)

    async def _advance(self, publication: Publication | None, taken: Taken | None) -> None:
        """Start the commit of this batch once the last one is through."""
        await self._settle()
        if publication is not None:
            self._commit = asyncio.create_task(self._publish(publication, taken.acks if taken else []))
            await asyncio.sleep(0)  # it is on its way before the next batch is begun

    async def _settle(self) -> None:
        if self._commit is not None:
            commit, self._commit = self._commit, None
            await commit

    async def _publish(self, publication: Publication, acks: list[Ack]) -> None:
        offsets = {(self.inputs[at], self.number): offset for at, offset in publication.positions.items()}
        with self._metrics.stage("publish", publication.size):
            packed = self._producer.pack(publication.outputs, publication.columns)
        started_s = time.perf_counter()
        try:
            places = await self._producer.commit(packed, offsets)
        except BaseException:
            self._metrics.observe_transaction(committed=False)
            raise
        self._metrics.observe_stage("commit", time.perf_counter() - started_s, publication.size)
        self._metrics.observe_transaction(committed=True)
        if self._checkpoints is not None:
            place = places.get((self._names.state, self.number), -1) if publication.names_log else -1
            self._checkpoints.committed(place if place >= 0 else None)
        for ack in acks:
            ack()
        self._committed(publication)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
