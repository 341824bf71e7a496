"""What one partition number applied, in the order in which it did: the order that its predictions recorded.

Inputs are read as far as the predictions had seen them, some thousand events at a time, so that memory does not grow
with the log.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_app.audit.answers import NONE, SET_ASIDE, Answers
from stream_app.audit.inputs import decoded
from stream_app.events import EventBatch
from stream_app.events.batch import Objects
from stream_app.events.columns import objects
from stream_app.outputs.topics import TopicNames
from stream_app.records import RecordLike

SPAN = 2_048
POISONED = SET_ASIDE.index("poisoned")

Fetch = Callable[[], Awaitable[list[RecordLike]]]
"""The next records of one input, in offset order; none at its end."""


@dataclass(frozen=True)
class Span:
    """n events as they were applied. `prediction` is NONE for those that only the model refused."""

    events: EventBatch
    records: Objects  # (n,) RecordLike
    prediction: NDArray[np.int64]  # (n,) place among the partition's predictions
    watermark_ms: int  # no later event of the history is behind it by more than disorder


@dataclass
class _Input:
    """One input topic of the partition; holds what was read and is not yet due."""

    at: int
    topic: str
    fetch: Fetch
    names: TopicNames
    events: EventBatch | None = None
    records: Objects | None = None
    read: int = 0  # next offset
    ended: bool = False

    async def until(self, bound: int) -> tuple[EventBatch, Objects] | None:
        """Everything before that offset that was not yet given; None where there is nothing."""
        parts = [(self.events, self.records)] if self.events is not None and self.records is not None else []
        while self.read < bound and not self.ended:
            records = await self.fetch()
            if not records:
                self.ended = True
                break
            self.read = records[-1].offset + 1
            parts.append(self._decode(records))
        if not parts:
            return None
        events = EventBatch.concat([events for events, _ in parts])
        kept = np.concatenate([records for _, records in parts])
        due = int(np.searchsorted(events.offset, bound))
        self.events, self.records = (None, None) if due == len(events) else (events.take(slice(due, None)), kept[due:])
        return events.take(slice(0, due)), kept[:due]

    def _decode(self, records: Sequence[RecordLike]) -> tuple[EventBatch, Objects]:
        events, rejected = decoded(self.topic, records, names=self.names, at=self.at)
        bad = {one.record.offset for one in rejected}
        return events, objects([record for record in records if record.offset not in bad] if bad else records)


async def history(
    names: TopicNames, answers: Answers, fetches: Sequence[Fetch], *, span: int = SPAN
) -> AsyncIterator[Span]:
    """Spans of one partition number. `fetches`: per input, from its beginning."""
    topics = (*names.inputs, names.repartition)
    inputs = [_Input(at, topic, fetches[at], names) for at, topic in enumerate(topics)]
    seen, ahead_ms = answers.seen, np.full(len(inputs), -1, np.int64)
    last = seen[-1] if len(seen) else None
    for first in range(0, len(seen), span):
        bounds = seen[min(first + span, len(seen)) - 1]
        parts = [part for each in inputs if (part := await each.until(int(bounds[each.at]))) is not None]
        found = _merged(answers, parts)
        if found is None:
            continue
        for at in range(len(inputs)):
            times = found.events.event_time_ms[found.events.source_input == at]
            ahead_ms[at] = max(ahead_ms[at], times.max(initial=-1))
        live = ahead_ms[(ahead_ms >= 0) & (bounds < last)]
        yield Span(found.events, found.records, found.prediction, int(live.min(initial=ahead_ms.max())))


def _merged(answers: Answers, parts: Sequence[tuple[EventBatch, Objects]]) -> Span | None:
    """The applied ones of these events, in their order; None where there are none."""
    if not parts:
        return None
    events = EventBatch.concat([events for events, _ in parts])
    records = np.concatenate([records for _, records in parts])
    prediction, order = np.full(len(events), NONE), np.full(len(events), np.inf)
    for at in np.unique(events.source_input).tolist():
        mine = np.flatnonzero(events.source_input == at)
        offsets = events.offset[mine]
        prediction[mine], _ = answers.predictions(at, offsets, events.identity[mine])
        made = prediction[mine] != NONE
        order[mine[made]] = prediction[mine[made]]
        poisoned = answers.set_aside(at, offsets) == POISONED
        # before the first prediction that had seen it
        order[mine[poisoned]] = np.searchsorted(answers.seen[:, at], offsets[poisoned], "right") - 0.5
    chosen = np.argsort(order, kind="stable")[: int(np.isfinite(order).sum())]
    if not len(chosen):
        return None
    return Span(events.take(chosen), records[chosen], prediction[chosen], 0)
