"""Scores what several tasks bring: while the device is busy their batches gather, and then go through it together.

A call of the model costs as much as dozens of events, so small batches of many tasks would spend their time on calls.
Users of two tasks are different ones, and an answer does not depend on what else is in a batch.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from fusion.features import FeatureBatch, PredictionBatch
from fusion.scorer import Scorer
from stream_app.worker.device import Device
from stream_app.worker.isolation import Scored, isolate

MOST_EVENTS = 2_048
"""Of one call; twice as many cost 6 % less each, and take twice the memory at a time."""
AT_ONCE_S = 0.4
"""CPU of a call, as far as the last ones tell, up to which it is made on the event loop. On a thread beside it a model
of hundreds of small operations waits for the interpreter's lock before each: 50 ms of work took 400."""
FIRST_S = 50e-6
"""CPU of an event before anything is known."""


class Answer(NamedTuple):
    """What became of one batch, and its part of the CPU seconds."""

    scored: Scored
    cpu_s: float


class _Asked(NamedTuple):
    scorer: Scorer
    features: FeatureBatch
    tier: str
    answer: asyncio.Future[Answer]


class Scoring:
    """The queue before the device; one event loop."""

    def __init__(self, device: Device, busy: Callable[[str, float], object] = lambda *_: None) -> None:
        self._device = device
        self._busy = busy  # hears of every call: the kind of device, and seconds
        self._waiting: list[_Asked] = []
        self._runner: asyncio.Task[None] | None = None
        self._event_s = FIRST_S

    async def score(self, scorer: Scorer, features: FeatureBatch, tier: str = "full") -> Answer:
        """Raises ScoringError when the model itself must be at fault."""
        asked = _Asked(scorer, features, tier, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if self._runner is None:
            self._runner = asyncio.create_task(self._run(), name="scoring")
        return await asked.answer

    async def _run(self) -> None:
        """Until nothing waits."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            chosen = self._next()
            scorer, tier, batches = chosen[0].scorer, chosen[0].tier, [asked.features for asked in chosen]
            started_s = time.perf_counter()
            events = sum(map(len, batches))
            short = scorer.device == "cpu" and events * self._event_s <= AT_ONCE_S
            done = self._device.at_once(together, scorer, batches, tier) if short else None
            if done is None:
                answers = await loop.run_in_executor(self._device, together, scorer, batches, tier)
            else:
                answers = done.result()
            self._busy(scorer.device, time.perf_counter() - started_s)
            cpu_s = sum(answer.cpu_s for answer in answers if isinstance(answer, Answer))
            if cpu_s:
                self._event_s += (cpu_s / events - self._event_s) * min(events / MOST_EVENTS, 1)
            for asked, answer in zip(chosen, answers, strict=True):
                if asked.answer.cancelled():
                    continue
                if isinstance(answer, Exception):
                    asked.answer.set_exception(answer)
                else:
                    asked.answer.set_result(answer)
        self._runner = None

    def _next(self) -> list[_Asked]:
        """The oldest, and what may go with it: for the same model and tier, up to MOST_EVENTS."""
        first, events = self._waiting[0], 0
        chosen: list[_Asked] = []
        left: list[_Asked] = []
        for asked in self._waiting:
            events += len(asked.features)
            alike = asked.scorer is first.scorer and asked.tier == first.tier
            fits = asked is first or (alike and events <= MOST_EVENTS)
            (chosen if fits else left).append(asked)
        self._waiting = left
        return chosen


def together(scorer: Scorer, batches: Sequence[FeatureBatch], tier: str = "full") -> list[Answer | Exception]:
    """One call for all; where that fails, each alone: one batch's poison is no other's. On the device thread."""
    if len(batches) == 1:
        return [_alone(scorer, batches[0], tier)]
    cpu_s = time.thread_time()
    try:
        whole = isolate(partial(scorer.score, tier=tier), joined(batches), halving=False)
    except Exception:
        return [_alone(scorer, batch, tier) for batch in batches]
    cpu_s = (time.thread_time() - cpu_s) / len(whole.kept)
    return [Answer(one, cpu_s * len(one.kept)) for one in parted(whole, batches)]


def _alone(scorer: Scorer, batch: FeatureBatch, tier: str) -> Answer | Exception:
    cpu_s = time.thread_time()
    try:
        return Answer(isolate(partial(scorer.score, tier=tier), batch), time.thread_time() - cpu_s)
    except Exception as error:
        return error


def joined(batches: Sequence[FeatureBatch]) -> FeatureBatch:
    """Batches of different users as one."""
    columns = {
        field.name: np.concatenate([getattr(batch, field.name) for batch in batches]) for field in fields(FeatureBatch)
    }
    users = np.cumsum([0, *(len(batch.carried) for batch in batches)])
    columns["row"] += users[:-1].repeat([len(batch) for batch in batches])
    return FeatureBatch(**columns)


def parted(whole: Scored, batches: Sequence[FeatureBatch]) -> list[Scored]:
    """The answer to `joined` as one for each batch."""
    parts, event, user, answer = [], 0, 0, 0
    for batch in batches:
        kept = whole.kept[event : event + len(batch)]
        mine, owners = slice(answer, answer + int(kept.sum())), slice(user, user + len(batch.carried))
        event, user, answer = event + len(batch), owners.stop, mine.stop
        made = whole.predictions if mine.stop > mine.start else None
        parts.append(Scored(None if made is None else _part(made, mine, owners), kept))
    return parts


def _part(whole: PredictionBatch, events: slice, users: slice) -> PredictionBatch:
    return replace(
        whole,
        columns={
            head: {name: column[events] for name, column in arrays.items()} for head, arrays in whole.columns.items()
        },
        modalities=whole.modalities[events],
        carried=whole.carried[users],
        cold_start=whole.cold_start[events],
    )
