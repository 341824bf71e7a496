"""Predictions made again from recorded inputs, into a topic of their own: same order, same ids, perhaps another model.

Only reads what is live, without a consumer group: no offset, no state and no output of the pipeline changes. Users
begin as strangers at the beginning of the log, so everything before the wanted time is scored too, and not written.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from fusion.recommender import ItemActivity, ItemIndex
from stream_app.audit.answers import NONE, Answers, identity
from stream_app.audit.history import Fetch, Span, history
from stream_app.audit.run import Log, Told
from stream_app.audit.scores import Scores
from stream_app.errors import SettingsError
from stream_app.events.hashing import hash64
from stream_app.metrics import Metrics
from stream_app.models.artefact import Served, configured, digest_of
from stream_app.models.life import Models, load_configured
from stream_app.models.memory import held_dtype
from stream_app.outputs.topics import TOPICS, TopicNames
from stream_app.records import OutputRecord, RecordLike
from stream_app.settings import Settings
from stream_app.state import StateSettings, TaskState
from stream_app.transport import admin
from stream_app.transport.loader import Loader
from stream_app.worker.device import Device
from stream_app.worker.pipeline import Pipeline
from stream_app.worker.scoring import Scoring


class Made(msgspec.Struct, frozen=True, gc=False):
    """What tells one prediction from another: written twice, it is the same record."""

    prediction_id: str
    source: str | None
    event_id: str
    model: dict[str, str]

    @property
    def identity(self) -> int:
        """Of the event and of what made it."""
        return hash64(f"{self.prediction_id}\0{self.model['digest']}")


decode_made = msgspec.json.Decoder(Made).decode


def target(settings: Settings, into: str) -> str:
    """The topic that `into` names: `shadow` → `behavior.shadow.predictions`. Raises SettingsError."""
    prefix = settings.topics.prefix
    live = {prefix + spec.name for spec in TOPICS}
    topic = TopicNames(f"{prefix}{into}.").predictions
    if not into or not all(part.replace("-", "").replace("_", "").isalnum() for part in into.split(".")):
        raise SettingsError(f"--into {into!r}: a name of letters, digits, dots, - and _")
    if topic in live or any(name.startswith(f"{prefix}{into}.") for name in live):
        raise SettingsError(f"--into {into!r}: {topic} is among the topics of the pipeline itself")
    return topic


@dataclass
class Replay:
    """What became of it; the same model's outputs are compared with those that are live."""

    into: str
    scored: int = 0
    written: int = 0
    already_there: int = 0
    scores: Scores = field(default_factory=Scores)

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        counts = {"into": self.into, "scored": self.scored, "written": self.written}
        return counts | {"already_there": self.already_there} | self.scores.document()


async def replay(
    settings: Settings,
    into: str,
    *,
    from_ms: int | None = None,
    to_ms: int | None = None,
    model: Path | None = None,
    told: Told = lambda *_: None,
) -> Replay:
    """Predict the inputs that Kafka got in [from_ms, to_ms) once more. Running it twice writes them once."""
    if model is not None:
        settings = settings.model_copy(update={"model": settings.model.model_copy(update={"path": model})})
    digest_of(configured(settings))  # there is one
    result = Replay(target(settings, into))
    log = await Log.open(settings, lambda *_: None)
    plan = next(plan for plan in admin.plans(log.settings.topics) if plan.name == log.names.predictions)
    await admin.create(log.settings.broker, [admin.TopicPlan(result.into, plan.partitions, plan.replication, {})])
    for partition in range(log.settings.topics.partitions):
        async with AsyncExitStack() as stack:
            again = await _Partition.open(stack, log, partition, result)
            fetches = [await log.fetch(stack, topic, partition) for topic in log.inputs]
            async for span in history(log.names, again.answers, fetches):
                await again.add(span, from_ms=from_ms or 0, to_ms=to_ms or 1 << 62)
                told(result.into, len(span.events))
    return result


@dataclass
class _Partition:
    """One partition number."""

    partition: int
    answers: Answers
    served: Served
    pipeline: Pipeline
    items: _Ahead
    live: _Ahead
    loader: Loader
    there: frozenset[int]  # identities of what an earlier run wrote
    keep_ms: int
    result: Replay

    @staticmethod
    async def open(stack: AsyncExitStack, log: Log, partition: int, result: Replay) -> _Partition:
        settings = log.settings
        there: list[int] = []
        async for chunk in log.read(result.into, partition):
            there += [decode_made(record.value or b"").identity for record in chunk]
        device = stack.enter_context(Device())
        served = load_configured(settings)
        metrics = Metrics()
        models = Models(served, settings=settings, metrics=metrics, device=device)
        stack.callback(models.close)
        state = TaskState(
            StateSettings(**settings.state.model_dump()),
            carried=held_dtype(served.scorer.carried_dtype),
            history=served.scorer.history,
            inputs=len(log.inputs),
        )
        loader = Loader(settings.broker)
        await loader.start()
        stack.push_async_callback(loader.stop)
        return _Partition(
            partition=partition,
            answers=await log.answers(partition),
            served=served,
            pipeline=Pipeline(
                partition,
                state=state,
                models=models,
                scoring=Scoring(device),
                names=log.names,
                settings=settings,
                metrics=metrics,
            ),
            items=_Ahead(await log.fetch(stack, log.names.item_log, 0)),
            live=_Ahead(await log.fetch(stack, log.names.predictions, partition)),
            loader=loader,
            there=frozenset(there),
            keep_ms=settings.state.session_gap_ms + settings.state.grace_ms + settings.state.bound_ms,
            result=result,
        )

    async def add(self, span: Span, *, from_ms: int, to_ms: int) -> None:
        """Score a span in the batches that saw one recommendation index each; write what is wanted of it."""
        made: list[OutputRecord] = []
        for part, index in batches(span.prediction, self.answers.index):
            follow(self.served.scorer.index, await self.items.before(index))
            made += await self._score(span, part)
        self.pipeline.forget(span.watermark_ms - self.keep_ms)
        places = span.prediction[span.prediction >= 0]
        self.result.scored += len(made)
        last = int(self.answers.offset[places[-1]]) if len(places) else -1
        live = {each.offset: each.value or b"" for each in await self.live.before(last + 1)}
        await self._write(span, made, live, from_ms=from_ms, to_ms=to_ms)

    async def _score(self, span: Span, part: slice) -> list[OutputRecord]:
        events, made = span.events.take(part), span.prediction[part]
        behind = (made >= 0) & (self.answers.in_grace[made] > 0)
        return await self.pipeline.again(
            events,
            span.records[part],
            np.where(made[:, None] >= 0, self.answers.positions[made], 0),
            watermark_ms=events.event_time_ms + behind,
            now_ms=time.time_ns() // 1_000_000,
        )

    async def _write(
        self, span: Span, made: Sequence[OutputRecord], live: Mapping[int, bytes], *, from_ms: int, to_ms: int
    ) -> None:
        events = {event: at for at, event in enumerate(span.events.identity.tolist())}
        wanted: list[OutputRecord] = []
        for record in made:
            value = record.value or b""
            again = decode_made(value)
            at = events[identity(again.source, again.event_id)]
            if not from_ms <= span.records[at].timestamp < to_ms:
                continue
            if (place := int(span.prediction[at])) != NONE:
                self.result.scores.add(live[int(self.answers.offset[place])], value)
            if again.identity in self.there:
                self.result.already_there += 1
            else:
                wanted.append(record._replace(topic=self.result.into, partition=self.partition))
        await self.loader.send(wanted)
        self.result.written += len(wanted)


@dataclass
class _Ahead:
    """A partition that is read as far as it is needed."""

    fetch: Fetch
    waiting: deque[RecordLike] = field(default_factory=deque)

    async def before(self, offset: int) -> list[RecordLike]:
        """Those not yet given that lie before that offset."""
        given: list[RecordLike] = []
        while True:
            while self.waiting and self.waiting[0].offset < offset:
                given.append(self.waiting.popleft())
            if self.waiting or not (chunk := await self.fetch()):
                return given
            self.waiting.extend(chunk)


def batches(prediction: NDArray[np.int64], index: NDArray[np.int64]) -> Iterator[tuple[slice, int]]:
    """Stretches of events that saw one position of the recommendation index, and that position.

    What the model alone refused goes with the event before it.
    """
    known = np.flatnonzero(prediction != NONE)
    if not len(known):
        yield slice(0, len(prediction)), 0
        return
    before = np.maximum(np.searchsorted(known, np.arange(len(prediction)), "right") - 1, 0)
    seen = index[prediction[known[before]]]
    cuts = [0, *(np.flatnonzero(seen[1:] != seen[:-1]) + 1).tolist(), len(seen)]
    for first, last in pairwise(cuts):
        yield slice(first, last), int(seen[first])


def follow(index: ItemIndex, records: Sequence[RecordLike]) -> None:
    """Bring the recommendation index forward."""
    for record in records:
        if record.value:
            index.append(record.offset, ItemActivity.decode(record.value))
