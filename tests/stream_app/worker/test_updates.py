"""Records of windows that are still open come now and then; none is forgotten for good."""

from __future__ import annotations

import asyncio

import orjson

from fusion.checkpoint import load_checkpoint
from fusion.scorer import ARTEFACT, Scorer
from stream_app.events import ACTIONS
from stream_app.metrics import Metrics
from stream_app.models.artefact import Served
from stream_app.models.change import Artefact
from stream_app.models.life import Models
from stream_app.models.memory import held_dtype
from stream_app.state import StateSettings, TaskState
from stream_app.worker.device import Device
from stream_app.worker.pipeline import Pipeline, Publication
from stream_app.worker.scoring import Scoring
from tests.stream_app.worker.test_isolation import NAMES, SETTINGS, START_MS, arrived, taken

SECOND_HALF = 128


def pipeline(device: Device) -> Pipeline:
    scorer, metrics = Scorer.load(device="cpu", actions=ACTIONS), Metrics()
    named = Artefact(digest=scorer.model.digest)
    served = Served(scorer, load_checkpoint(ARTEFACT).model.config, named, memory=1)
    models = Models(served, settings=SETTINGS, metrics=metrics, device=device)
    carried = held_dtype(scorer.carried_dtype)
    state = TaskState(StateSettings(**SETTINGS.state.model_dump()), carried=carried, history=scorer.history, inputs=5)
    return Pipeline(
        0, state=state, models=models, scoring=Scoring(device), names=NAMES, settings=SETTINGS, metrics=metrics
    )


def updates(out: Publication | None) -> dict[tuple[str, str, str], int]:
    """Events that the last record of each open window counts."""
    told = [orjson.loads(one.value or b"") for one in (out.records if out else ()) if one.topic == NAMES.engagement]
    return {
        (one["user_id"], one["window"]["type"], one["window"]["start"]): sum(one["counts"].values())
        for one in told
        if not one["window"]["is_final"]
    }


def test_updates_wait_their_time_and_the_next_tick_tells_them() -> None:
    records = arrived(set())
    now_ms = max(record.timestamp for record in records) + 1_000
    wait_ms = SETTINGS.pipeline.updates_ms

    async def run() -> tuple[Publication, Publication, Publication | None, Publication | None]:
        with Device() as device:
            pipe = pipeline(device)
            first = await pipe.run(taken(records[:SECOND_HALF]), now_ms=now_ms)
            second = await pipe.run(taken(records[SECOND_HALF:]), now_ms=now_ms + wait_ms - 1)
            return first, second, pipe.tick(now_ms=now_ms + wait_ms), pipe.leave()

    first, second, later, last = asyncio.run(run())
    assert updates(first)
    assert not updates(second)
    assert updates(later)
    assert last is None


def test_who_leaves_tells_what_waits() -> None:
    records = arrived(set())
    now_ms = START_MS + 30 * 86_400_000

    async def run() -> tuple[Publication | None, Publication | None]:
        with Device() as device:
            pipe = pipeline(device)
            await pipe.run(taken(records[:SECOND_HALF]), now_ms=now_ms)
            await pipe.run(taken(records[SECOND_HALF:]), now_ms=now_ms + 1)
            return pipe.leave(), pipe.leave()

    last, after = asyncio.run(run())
    assert updates(last)
    assert after is None
