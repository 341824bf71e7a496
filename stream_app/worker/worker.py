"""The worker process: Faust agents feed the tasks; web, metrics and shutdown around them."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import torch
from faust.types import TP

from fusion.recommender import ItemIndex
from stream_app.catalogue.shelf import Shelf
from stream_app.errors import DependencyError, SettingsError, StateError
from stream_app.loop_thread import LoopThread
from stream_app.metrics import Metrics
from stream_app.models import change
from stream_app.models.artefact import RefusedError, Served
from stream_app.models.life import Models, load_configured
from stream_app.models.memory import held_dtype
from stream_app.outputs.topics import TopicNames
from stream_app.settings import Settings
from stream_app.signals import SIGNALS
from stream_app.state.settings import StateSettings
from stream_app.state.task_state import TaskState
from stream_app.transport import admin
from stream_app.transport.consumer import BatchApp, RecordBatch, batch_app
from stream_app.transport.log_reader import LogReader
from stream_app.transport.transaction import TaskProducer
from stream_app.web.live import Live
from stream_app.web.server import WebServer
from stream_app.web.status import Status
from stream_app.web.thread import WebThread
from stream_app.worker.catalogue_log import CatalogueLog
from stream_app.worker.checkpoints import Checkpoints
from stream_app.worker.device import Device
from stream_app.worker.item_log import ItemLog
from stream_app.worker.memory import keep_large_apart, keep_trimmed
from stream_app.worker.model_log import ModelLog
from stream_app.worker.overload import Overload
from stream_app.worker.pipeline import Pipeline, Publication
from stream_app.worker.refusals import Refusals
from stream_app.worker.routing import partition_of
from stream_app.worker.scoring import Scoring
from stream_app.worker.serving import Serving
from stream_app.worker.supervisor import RESTARTS
from stream_app.worker.task import Task

log = logging.getLogger(__name__)
T = TypeVar("T")

EXIT_SETTINGS = 2
"""No restart mends it."""
EXIT_STATE = 70
"""The state can no longer be trusted: the supervisor starts afresh."""
GAUGES_S = 1.0
STOP_S = 9.0
LOOKED_BACK = 3
"""Windows of insights among which the live page finds one that says something."""
RETRY_S = 0.3
SWITCH_S = 0.000_2
"""How long the web thread may have to wait for one that computes: once an answer, and where interrupted."""


class Worker:
    """Owner of the tasks of one process (see transport.consumer.Owner)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._names = TopicNames(settings.topics.prefix)
        self._metrics = Metrics(topics=self._names.inputs, signals=tuple(SIGNALS))
        self._status = Status(self._metrics)
        self._live = Live(self._metrics, self._status)
        self._device = Device()
        self._transactions = LoopThread("transactions")
        self._scoring = Scoring(
            self._device, lambda device, seconds: self._metrics.device_busy.labels(device).inc(seconds)
        )
        self._overload = Overload(settings.pipeline.overload_s)
        self._inputs = {name: at for at, name in enumerate((*self._names.inputs, self._names.repartition))}
        self._tasks: dict[int, Task] = {}
        self._moving = asyncio.Lock()  # tasks start, or they drain
        self._received: dict[TP, int] = {}
        self._stopping = asyncio.Event()
        self._folder = settings.data_dir / "faust"
        self._app: BatchApp
        self._models: Models
        self._serving: Serving
        self._url = ""
        self._cluster = ""
        self._voice = 0  # the task that may write control records; until the broker has said how many there are

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT; what was taken is committed before it returns."""
        keep_large_apart()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._tell)
        settings, index = self._settings, ItemIndex()
        reader = LogReader(settings.broker, [(self._names.insights, 0), (self._names.workers, 0)])
        shelf = Shelf(settings.catalogue.items, settings.catalogue.photos)
        catalogue = CatalogueLog(shelf, self._metrics, self.crash, refusals=self._refusals)
        self._serving = Serving(reader, self._names, self._pipelines, index=index, shelf=shelf, photo=catalogue.photo)
        self._live.insights = partial(self._serving.insights, windows=LOOKED_BACK)
        server = WebServer(settings.web, self._metrics, self._status, self._live, answers=self._serving)
        web = WebThread(server)
        if settings.web.enabled:
            await web.start()
            self._url = server.advertised
            log.info("serving", extra={"url": server.url})
        live = await self._reach("model", lambda: loop.run_in_executor(self._device, self._load_model, index))
        if live is None or not (
            await self._reach("disk", self._prepare_folder) and await self._reach("broker", self._prepare_topics)
        ):
            await web.stop()
            return
        self._models = Models(live, settings=settings, metrics=self._metrics, device=self._device)
        reader = LogReader(settings.broker, [(self._names.item_log, 0)])
        item_log = ItemLog(reader, index, self._device, self.crash)
        self._voice = partition_of(change.KEY, self._settings.topics.partitions)
        reader = LogReader(settings.broker, [(self._names.control, self._voice)])
        model_log = ModelLog(reader, self._models, self.crash, judges=self._judges)
        await model_log.start()
        await item_log.start()
        await self._serving.start(self.crash, partitions=self._settings.topics.partitions)
        if settings.catalogue.enabled:
            await catalogue.start(self._settings.broker, self._names.items, self._settings.topics.partitions)
        self._metrics.up.set(1)
        self._metrics.restarts.inc(int(os.environ.get(RESTARTS, "0")))
        gc.freeze()  # modules and model stay: no collection need walk them
        gc.set_threshold(50_000, 50, 50)  # a batch makes thousands of objects and no cycles
        sys.setswitchinterval(SWITCH_S)
        self._transactions.start()
        self._app = self._build_app()
        gauges = asyncio.create_task(self._keep_gauges())  # already, because to start may wait for a broker
        await self._app.start()
        background = [gauges, *map(asyncio.create_task, (self._end_with_app(), keep_trimmed()))]
        await self._stopping.wait()
        log.info("stopping")
        for task in background:
            task.cancel()
        await self._stop_tasks()
        await self._app.stop()
        await self._transactions.stop()
        await item_log.stop()
        await model_log.stop()
        await self._serving.stop()
        await catalogue.stop()
        await web.stop()
        self._device.shutdown()

    def _tell(self) -> None:
        """SIGTERM or SIGINT: stop in order; what cannot stop, because the broker is away, is ended."""
        if not self._stopping.is_set():
            self._stopping.set()
            asyncio.get_running_loop().call_later(STOP_S, self._give_up)

    def _give_up(self) -> None:
        log.warning("not stopped in time: what was not committed is read again by the next worker")
        os._exit(EXIT_STATE)

    def crash(self, error: BaseException) -> None:
        """The state may be ahead of the log, and nothing more may be written: end at once."""
        log.critical("worker ends", exc_info=error)
        self._status.fail(type(error).__name__)
        if isinstance(error, SettingsError):
            print(f"stream-app: {error}", file=sys.stderr, flush=True)  # noqa: T201
            os._exit(EXIT_SETTINGS)
        os._exit(EXIT_STATE)

    async def _end_with_app(self) -> None:
        """A service of Faust that crashed leaves the rest standing: nothing would be fetched any more."""
        await self._app.wait_until_stopped()
        self.crash(self._app.crash_reason or StateError("Faust stopped by itself"))

    async def assign(self, tps: frozenset[TP]) -> None:
        """Fence, restore and run a task per partition number; every number must come with all of its inputs."""
        numbers = {tp.partition for tp in tps}
        for number in numbers:
            if missing := [name for name in self._inputs if TP(name, number) not in tps]:
                raise StateError(f"partition {number} was assigned without {', '.join(missing)}")
        async with self._moving:
            self._received.clear()
            self._metrics.rebalances.inc()
            self._status.assign(numbers)
            for number in self._tasks.keys() - numbers:
                await self._tasks.pop(number).stop()
                self._metrics.forget_task(number)
            fresh = [self._new_task(number) for number in sorted(numbers - self._tasks.keys())]
            await asyncio.gather(*[self._restore(task) for task in fresh])
            if self._stopping.is_set():
                return
            self._tasks |= {task.number: task for task in fresh}
            for task in self._tasks.values():
                task.run()
        log.info("assigned", extra={"partitions": sorted(numbers)})

    async def revoke(self, tps: frozenset[TP]) -> None:
        """Everything taken is committed before the partitions may go elsewhere."""
        numbers = {tp.partition for tp in tps}
        async with self._moving:  # a task that is about to run would otherwise do so after this
            await asyncio.gather(*[task.drain() for number, task in self._tasks.items() if number in numbers])

    def accepts(self, tp: TP) -> bool:
        """Whether the partition's inbox has room."""
        task = self._tasks.get(tp.partition)
        return task is not None and task.accepts(self._inputs[tp.topic])

    def seen(self, tps: frozenset[TP]) -> dict[TP, int]:
        """Positions of the inputs as the states have them: the broker may have lost what was committed."""
        tasks = {tp: self._tasks[tp.partition] for tp in tps if tp.partition in self._tasks}
        return {tp: task.pipeline.seen(self._inputs[tp.topic]) for tp, task in tasks.items()}

    def resume(self, offsets: Mapping[TP, int]) -> None:
        """What comes before has been seen."""
        for tp, offset in offsets.items():
            if (task := self._tasks.get(tp.partition)) is not None:
                task.pipeline.resume(self._inputs[tp.topic], offset)

    async def _reach(self, what: str, attempt: Callable[[], Awaitable[T]]) -> T | None:
        """Wait, not ready, until a dependency is there; None when told to stop before."""
        said = ""
        while not self._stopping.is_set():
            try:
                found = await attempt()
            except DependencyError as error:
                if str(error) != said:
                    log.warning("the %s is away", what, extra={"error": (said := str(error))})
                self._status.pause(what, str(error))
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), RETRY_S)
            else:
                self._status.resume(what)
                return found
        return None

    async def _prepare_topics(self) -> bool:
        self._settings = await admin.settled(self._settings)
        wanted = admin.plans(self._settings.topics)
        if self._settings.topics.create:
            for name in await admin.create(self._settings.broker, wanted):
                log.info("topic created", extra={"topic": name})
        await admin.require(self._settings.broker, wanted)
        # Faust would try for ever where the group may not be read; this says so
        await admin.committed(self._settings.broker, self._settings.pipeline.name)
        self._cluster = await admin.cluster_id(self._settings.broker)
        return True

    async def _prepare_folder(self) -> bool:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DependencyError(f"{self._folder}: {error.strerror}") from error
        return True

    def _load_model(self, index: ItemIndex) -> Served:
        torch.set_num_threads(self._settings.model.threads)
        try:
            return load_configured(self._settings, index=index)
        except RefusedError as error:
            raise DependencyError(str(error)) from error

    def _judges(self) -> bool:
        """Whether this worker owns the task that may write what holds of models."""
        return self._voice in self._tasks

    def _build_app(self) -> BatchApp:
        settings = self._settings
        app = batch_app(settings.pipeline.name, settings.broker, data_dir=str(self._folder))
        app.owner = self
        for name, at in self._inputs.items():
            topic = app.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
            app.agent(topic, name=f"{settings.pipeline.name}.{name}")(self._agent(at))
        return app

    def _agent(self, at: int) -> Callable[[Any], Coroutine[Any, Any, None]]:
        """An agent that hands the batches of one input topic to their partitions' tasks."""

        async def feed(stream: AsyncIterator[Any]) -> None:
            async for event in stream.noack().events():  # type: ignore[attr-defined]
                batch: RecordBatch = event.value
                current = event.message.generation_id == self._app.consumer_generation_id
                task = self._tasks.get(batch.tp.partition)
                if task is None or not current or not self._app.consumer.settled():
                    continue  # read again after the rebalance
                self._received[batch.tp] = self._received.get(batch.tp, 0) + 1
                try:
                    task.feed(at, batch.records, event.ack)
                except Exception as error:  # an agent that raised would be restarted behind our back
                    self.crash(error)

        return feed

    def _new_task(self, number: int) -> Task:
        settings = self._settings
        scorer = self._models.live.scorer
        state = TaskState(
            StateSettings(**settings.state.model_dump()),
            inputs=len(self._inputs),
            carried=held_dtype(scorer.carried_dtype),
            history=scorer.history,
        )
        pipeline = Pipeline(
            number,
            state=state,
            models=self._models,
            scoring=self._scoring,
            names=self._names,
            settings=settings,
            metrics=self._metrics,
            overload=self._overload,
        )
        checkpoints = None
        if settings.state.checkpoint_s:
            checkpoints = Checkpoints(
                settings.data_dir / "checkpoints" / self._cluster / self._names.state / f"{number}.state",
                {"cluster": self._cluster, "topic": self._names.state, "partition": number},
                state=state,
                own=pipeline.own,
                every_s=settings.state.checkpoint_s,
            )
        return Task(
            number,
            names=self._names,
            settings=settings.pipeline,
            pipeline=pipeline,
            producer=TaskProducer(
                settings.broker, group=settings.pipeline.name, partition=number, thread=self._transactions
            ),
            metrics=self._metrics,
            expecting=partial(self._expecting, number),
            fellows=self._tasks.values,
            committed=self._on_commit,
            checkpoints=checkpoints,
            crash=self.crash,
        )

    async def _restore(self, task: Task) -> None:
        started_s = time.monotonic()
        found = await task.start(LogReader(self._settings.broker, [(self._names.state, task.number)]))
        seconds = time.monotonic() - started_s
        self._metrics.set_restored(task.number, seconds)
        if self._url:
            task.pipeline.advertise(self._url)
        self._status.restored(task.number)
        users = len(task.pipeline.state)
        log.info(
            "restored",
            extra={
                "partition": task.number,
                "checkpoint": found.checkpoint is not None,
                "records": found.read,
                "users": users,
                "seconds": seconds,
            },
        )

    def _expecting(self, number: int) -> list[int]:
        """Inputs of a task that are known to hold more than has reached its inbox."""
        consumer = self._app.consumer
        return [
            at
            for name, at in self._inputs.items()
            if not consumer.caught_up(tp := TP(name, number)) or consumer.handed.get(tp, 0) != self._received.get(tp, 0)
        ]

    def _on_commit(self, publication: Publication) -> None:
        committed_ms = time.time_ns() // 1_000_000
        publication.count(self._metrics, committed_ms)
        self._serving.remember(publication.columns)
        if self._live.watched:
            self._live.feed(publication.records)

    async def _keep_gauges(self) -> None:
        try:
            while True:
                self._set_gauges()
                await asyncio.sleep(GAUGES_S)
        except Exception as error:
            self.crash(error)

    def _set_gauges(self) -> None:
        now_ms = time.time_ns() // 1_000_000
        self._overload.look(max((task.lag_s(now_ms) for task in self._tasks.values()), default=0.0))
        for number, task in list(self._tasks.items()):
            for name in self._names.inputs:
                records = self._app.consumer.lag(TP(name, number))
                age_s = max(0.0, (now_ms - task.pipeline.seen_ms.get(name, now_ms)) / 1000) if records else 0.0
                self._metrics.set_lag(name, number, records=records, seconds=age_s)
            state = task.pipeline.state
            watermark_ms = state.watermark_ms
            self._metrics.set_task(
                number,
                watermark_lag_s=max(0.0, (now_ms - watermark_ms) / 1000) if watermark_ms else 0.0,
                rows=len(state),
                size_bytes=state.memory_bytes(),
            )
        if self._app.consumer.coordinated:
            self._status.resume("broker")
        else:
            self._status.pause("broker", "nobody coordinates the consumer group")
        if self._judges():
            self._models.judge()
        self._metrics.queue_depth.set(sum(task.waiting for task in self._tasks.values()))

    async def _stop_tasks(self) -> None:
        consumer = self._app.consumer
        consumer.stop_flow()
        await asyncio.gather(*[task.drain() for task in self._tasks.values()])
        await consumer.leave()
        await asyncio.gather(*[task.stop() for task in self._tasks.values()])
        self._tasks.clear()

    def _pipelines(self) -> dict[int, Pipeline]:
        return {number: task.pipeline for number, task in list(self._tasks.items())}

    def _refusals(self, partition: int) -> Refusals | None:
        """Of a task of this worker, once it is restored."""
        task = self._tasks.get(partition)
        return None if task is None else task.pipeline.refusals
