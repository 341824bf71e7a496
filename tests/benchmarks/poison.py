"""What bad records cost: the same stream clean, with 1 % malformed, with 1 % that the model answers with NaN, and with
1 % on which it raises an error that names nobody.

No broker: decode, and the pipeline with the shipped model, on this thread and the device's. CPU seconds of the process;
each variant has its turns interleaved with the others', and the least of them counts.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from encoders.text import hashed
from fusion.checkpoint import load_checkpoint
from fusion.features import FeatureBatch, PredictionBatch
from fusion.scorer import ARTEFACT, Scorer
from stream_app.events import ACTIONS, EVENT_TYPES, EventBatch, Rejected, decode
from stream_app.metrics import Metrics
from stream_app.models.artefact import Served
from stream_app.models.change import Artefact
from stream_app.models.life import Models
from stream_app.models.memory import held_dtype
from stream_app.outputs.topics import TopicNames
from stream_app.producers.publish import encode
from stream_app.producers.simulate import simulate
from stream_app.records import Record
from stream_app.settings import load
from stream_app.state import StateSettings, TaskState
from stream_app.worker.device import Device
from stream_app.worker.inbox import Taken
from stream_app.worker.pipeline import Pipeline
from stream_app.worker.scoring import Scoring

START_MS = 1_700_000_000_000
DAY_MS = 86_400_000
EVERY = 100
BATCH = 2_048
CURSES = {"not_finite": "unthinkable", "raising": "unspeakable"}
WHO = ("event_id", "event_time", "user_id", "anonymous_id")
SETTINGS = load(topics__partitions=1)
NAMES = TopicNames(SETTINGS.topics.prefix)
VARIANTS = ("clean", "malformed", *CURSES)


class Cursed(Scorer):
    """The shipped model with two words that it cannot bear: one is NaN in its table, on the other it raises."""

    passes = 0

    def score(self, features: FeatureBatch, *args: Any, **more: Any) -> PredictionBatch:
        """Raises where it meets the word: after the work, as a model does."""
        self.passes += 1
        made = super().score(features, *args, **more)
        if any(CURSES["raising"] in text for text in features.text if text is not None):
            raise RuntimeError("no memory for that")
        return made


def poison(*, events: int, turns: int) -> dict[str, Any]:
    """CPU µs per event and events/s per variant, and their share of the clean throughput by CPU."""
    logging.getLogger("stream_app.worker.isolation").setLevel(logging.ERROR)
    checkpoint = load_checkpoint(ARTEFACT)
    with torch.no_grad():
        checkpoint.model.text.table.weight[hashed(CURSES["not_finite"]).ids[0]] = torch.nan
    torch.set_num_threads(1)
    scorer = Cursed(checkpoint.model, digest=checkpoint.digest, device=torch.device("cpu"), actions=ACTIONS)
    served = Served(scorer, checkpoint.model.config, Artefact(digest=checkpoint.digest), memory=1)
    streams = {variant: stream(variant, events) for variant in VARIANTS}
    found: dict[str, list[tuple[float, float]]] = {variant: [] for variant in VARIANTS}
    passes: dict[str, int] = {}
    letters: dict[str, int] = {}
    asyncio.run(drain(served, streams["clean"]))  # warm
    for _ in range(turns):
        for variant, records in streams.items():
            scorer.passes = 0
            wall_s, cpu_s, letters[variant] = asyncio.run(drain(served, records))
            found[variant].append((cpu_s, wall_s))
            passes[variant] = scorer.passes
    least = {variant: (min(cpu for cpu, _ in each), min(wall for _, wall in each)) for variant, each in found.items()}
    return {
        variant: {
            "cpu_us_per_event": round(cpu_s / events * 1e6, 1),
            "events_per_s": round(events / wall_s),
            "of_clean_by_cpu": round(least["clean"][0] / cpu_s, 3),
            "dead_letters": letters[variant],
            "forward_passes": passes[variant],
        }
        for variant, (cpu_s, wall_s) in least.items()
    }


def stream(variant: str, events: int) -> list[Record]:
    """In the order of arrival; every EVERY-th record is bad."""
    records = []
    for at, (kind, record) in enumerate(
        simulate(users=2_000, seed=2, start_ms=START_MS, events=events, disorder=0, duplicates=0)
    ):
        bad = at % EVERY == EVERY // 2
        if bad and variant in CURSES:
            said = {name: record[name] for name in WHO if name in record}
            kind, record = "searches", said | {"query": f"{CURSES[variant]} shoes"}
        made = encode(kind, record)
        value = made.value
        if bad and variant == "malformed" and value is not None:
            value = value[:-1]
        records.append(Record(NAMES[made.topic], 0, at, made.time_ms, made.key, value))
    return records


async def drain(served: Served, records: Sequence[Record]) -> tuple[float, float, int]:
    """Wall and CPU seconds, and how many were set aside."""
    with Device() as device:
        state = TaskState(
            StateSettings(**SETTINGS.state.model_dump()),
            carried=held_dtype(served.scorer.carried_dtype),
            history=served.scorer.history,
            inputs=5,
        )
        metrics = Metrics()
        models = Models(served, settings=SETTINGS, metrics=metrics, device=device)
        pipeline = Pipeline(
            0, state=state, models=models, scoring=Scoring(device), names=NAMES, settings=SETTINGS, metrics=metrics
        )
        letters = 0
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        for first in range(0, len(records), BATCH):
            out = await pipeline.run(taken(records[first : first + BATCH]), now_ms=START_MS + 365 * DAY_MS)
            letters += out.dead_letters.total()
        spent = time.perf_counter() - wall_s, time.process_time() - cpu_s
        models.close()
    return (*spent, letters)


def taken(records: Sequence[Record]) -> Taken:
    """A merged batch, decoded as a task decodes."""
    parts: list[EventBatch] = []
    rejected: list[tuple[int, Rejected]] = []
    positions: dict[int, int] = {}
    for at, kind in enumerate(EVENT_TYPES):
        if same := [record for record in records if record.topic == NAMES[kind]]:
            decoded = decode(same, event_type=kind, source_input=at)
            parts.append(decoded.events)
            rejected += [(at, one) for one in decoded.rejected]
            positions[at] = same[-1].offset + 1
    events = EventBatch.concat(parts)
    bad = {one.record.offset for _, one in rejected}
    good = [record for record in records if record.offset not in bad]
    kept = np.empty(len(good), object)
    kept[:] = good
    return Taken(events.take(np.argsort(events.offset)), kept, rejected, positions, [], 0.0)
