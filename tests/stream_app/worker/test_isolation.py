"""An event that the model cannot score is found, by name or by halving; all others come out, however they are cut."""

import asyncio
import math
from typing import Any

import numpy as np
import orjson
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from encoders.text import hashed
from fusion.checkpoint import load_checkpoint
from fusion.errors import NotFiniteError
from fusion.features import FeatureBatch, PredictionBatch
from fusion.scorer import ARTEFACT, Scorer
from stream_app.errors import ScoringError
from stream_app.events import ACTIONS, EVENT_TYPES, EventBatch, decode
from stream_app.metrics import Metrics
from stream_app.models.artefact import Served
from stream_app.models.change import Artefact
from stream_app.models.life import Models
from stream_app.models.memory import held_dtype
from stream_app.outputs.topics import TopicNames
from stream_app.producers.publish import encode
from stream_app.producers.simulate import simulate
from stream_app.records import OutputRecord, Record
from stream_app.settings import Settings, load
from stream_app.state import StateSettings, TaskState
from stream_app.worker.device import Device
from stream_app.worker.inbox import Taken
from stream_app.worker.isolation import HOPELESS, isolate
from stream_app.worker.pipeline import Pipeline
from stream_app.worker.scoring import Scoring

START_MS = 1_700_000_000_000
DAY_MS = 86_400_000
EVENTS = 256
HISTORY = 32
CURSE, SPOILT = "unspeakable", "unthinkable"
"""The model raises on the one, and has NaN in its table for the other."""
SETTINGS: Settings = load(topics__partitions=1)
NAMES = TopicNames(SETTINGS.topics.prefix)


class Cursed(Scorer):
    """The shipped model, with two words that it cannot bear."""

    passes = 0

    def score(self, features: FeatureBatch, tier: str = "full") -> PredictionBatch:
        self.passes += 1
        if any(CURSE in text for text in features.text if text is not None):
            raise RuntimeError("no")
        return super().score(features, tier)


@pytest.fixture(scope="module")
def cursed() -> Cursed:
    checkpoint = load_checkpoint(ARTEFACT)
    with torch.no_grad():
        checkpoint.model.text.table.weight[hashed(SPOILT).ids[0]] = torch.nan
    torch.set_num_threads(1)
    assert checkpoint.model.config.history == HISTORY
    return Cursed(checkpoint.model, digest=checkpoint.digest, device=torch.device("cpu"), actions=ACTIONS)


def arrived(offenders: set[int], word: str = CURSE) -> list[Record]:
    """Shoppers in the order of arrival; what some of them say has that word."""
    records = []
    stream = simulate(users=12, seed=2, start_ms=START_MS, events=EVENTS, images=False, disorder=0, duplicates=0)
    for at, (kind, record) in enumerate(stream):
        if at in offenders:
            said = {"event_id": record["event_id"], "event_time": record["event_time"], "user_id": "u1"}
            kind, record = "searches", said | {"query": f"{word} shoes"}
        elif at % 5 == 0:  # the same user before and after
            record = {**record, "user_id": "u1"}
        made = encode(kind, record)
        records.append(Record(NAMES[made.topic], 0, at, made.time_ms, made.key, made.value))
    return records


def taken(records: list[Record]) -> Taken:
    parts, positions = [], {}
    for at, kind in enumerate(EVENT_TYPES):
        if same := [record for record in records if record.topic == NAMES[kind]]:
            decoded = decode(same, event_type=kind, source_input=at)
            assert not decoded.rejected
            parts.append(decoded.events)
            positions[at] = same[-1].offset + 1
    events = EventBatch.concat(parts)
    kept = np.empty(len(records), object)
    kept[:] = records
    return Taken(events.take(np.argsort(events.offset)), kept, [], positions, [], 0.0)


def run(scorer: Cursed, records: list[Record], batch: int) -> tuple[list[OutputRecord], TaskState]:
    """All that a pipeline publishes, and its state in the end."""

    async def all_of_it() -> tuple[list[OutputRecord], TaskState]:
        with Device() as device:
            state = TaskState(
                StateSettings(**SETTINGS.state.model_dump()),
                carried=held_dtype(scorer.carried_dtype),
                history=HISTORY,
                inputs=5,
            )
            metrics, named = Metrics(), Artefact(digest=scorer.model.digest)
            served = Served(scorer, load_checkpoint(ARTEFACT).model.config, named, memory=1)
            models = Models(served, settings=SETTINGS, metrics=metrics, device=device)
            pipeline = Pipeline(
                0, state=state, models=models, scoring=Scoring(device), names=NAMES, settings=SETTINGS, metrics=metrics
            )
            made: list[OutputRecord] = []
            for first in range(0, len(records), batch):
                out = await pipeline.run(taken(records[first : first + batch]), now_ms=START_MS + 30 * DAY_MS)
                made += out.records
                assert min(out.verdicts.values()) >= 0
            return made, state

    return asyncio.run(all_of_it())


def of(outputs: list[OutputRecord], topic: str) -> list[Any]:
    return [orjson.loads(record.value or b"") for record in outputs if record.topic == topic]


def counted(outputs: list[OutputRecord], state: TaskState) -> dict[str, Any]:
    """What the state holds in the end of every user who was predicted."""
    users = sorted({prediction["user_id"] for prediction in of(outputs, NAMES.predictions)})
    known = {user: state.user(user) or {} for user in users}
    return {
        user: {
            "events": found["events"],
            "history": found["history"],
            "windows": sorted(found["windows"], key=lambda window: (window["type"], window["start_ms"])),
        }
        for user, found in known.items()
    }


@pytest.mark.parametrize(
    ("offenders", "word"),
    [({0}, CURSE), ({0, 5, 6, 255}, SPOILT), ({255}, CURSE), (set(range(20, 40)), SPOILT), ({3, 77, 130, 200}, CURSE)],
    ids=str,
)
def test_the_offenders_alone_are_set_aside_whatever_the_batch_limit(
    cursed: Cursed, offenders: set[int], word: str
) -> None:
    records = arrived(offenders, word)

    runs = {batch: run(cursed, records, batch) for batch in (1, 7, EVENTS)}

    whole = of(runs[EVENTS][0], NAMES.predictions)
    assert len(whole) == EVENTS - len(offenders)
    for outputs, state in runs.values():
        letters = [record for record in outputs if record.topic == NAMES.dead_letters]
        assert [letter.value for letter in letters] == [records[at].value for at in sorted(offenders)]
        for letter in letters:
            assert {("dlq.code", b"poison"), ("dlq.stage", b"inference")} <= set(letter.headers)
        for one, other in zip(of(outputs, NAMES.predictions), whole, strict=True):
            for name in ("prediction_id", "feature_digest", "cold_start", "session_id", "positions"):
                assert one[name] == other[name], name
            for head in ("purchase", "churn", "anomaly"):
                assert one["outputs"][head]["score"] == pytest.approx(other["outputs"][head]["score"], abs=2e-3)
        assert counted(outputs, state) == counted(*runs[EVENTS])
        assert sum(user["events"] for user in counted(outputs, state).values()) == EVENTS  # they have happened


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_forward_passes_find_them(cursed: Cursed, count: int) -> None:
    offenders = set(range(40, EVENTS, 50)[:count])
    cursed.passes = 0

    run(cursed, arrived(offenders), EVENTS)

    assert cursed.passes <= count * (math.log2(EVENTS) + 1) + 1


def test_one_pass_finds_all_that_an_encoder_gives_no_number_for(cursed: Cursed) -> None:
    cursed.passes = 0

    run(cursed, arrived(set(range(40, EVENTS, 7)), SPOILT), EVENTS)

    assert cursed.passes == 1


@given(st.integers(1, 60), st.sets(st.integers(0, 59)))
def test_halving_keeps_exactly_what_can_be_scored(n: int, marked: set[int]) -> None:
    marked = {at for at in marked if at < n}
    passes = 0

    def score(features: FeatureBatch) -> PredictionBatch:
        nonlocal passes
        passes += 1
        if marked & set(features.event_time_ms.tolist()):
            raise RuntimeError("no")
        seen = features.carried.copy()
        np.add.at(seen["seen"], features.row, 1)
        columns = {"time": {"score": features.event_time_ms}}
        size = len(features)
        return PredictionBatch(columns, np.ones((size, 4), np.float32), seen, np.zeros(size, bool), 0)

    scored = isolate(score, _features(n))

    assert set(np.flatnonzero(~scored.kept).tolist()) == marked
    assert passes <= len(marked) * (math.ceil(math.log2(n)) + 1) + 1
    if scored.predictions is None:
        assert len(marked) == n
    else:
        assert scored.predictions.columns["time"]["score"].tolist() == [at for at in range(n) if at not in marked]
        assert scored.predictions.carried["seen"].sum() == n - len(marked)


@given(st.integers(1, 120), st.sets(st.integers(0, 119), max_size=60))
def test_the_first_of_each_user_is_to_blame_and_what_comes_after_is_scored_anew(n: int, marked: set[int]) -> None:
    marked = {at for at in marked if at < n}
    seen: list[int] = []

    def score(features: FeatureBatch) -> PredictionBatch:
        """Names those marked and what their users do then."""
        times = features.event_time_ms
        if guilty := [at for at, time in enumerate(times.tolist()) if time in marked]:
            after = {
                later for at in guilty for later in np.flatnonzero(features.row == features.row[at]) if later >= at
            }
            raise NotFiniteError("no", np.array(sorted(after)))
        for user, time in zip(features.row.tolist(), times.tolist(), strict=True):
            first = int(np.searchsorted(features.row, user))
            if time == times[first]:  # everything before is history, with what was set aside
                assert features.history_time_ms[user][-(time % 3) :].tolist() == list(range(time - time % 3, time)) or (
                    time % 3 == 0
                )
        seen.extend(times.tolist())
        carried = features.carried.copy()
        np.add.at(carried["seen"], features.row, 1)
        columns = {"time": {"score": times}}
        return PredictionBatch(columns, np.ones((len(times), 4), np.float32), carried, np.zeros(len(times), bool), 0)

    scored = isolate(score, _features(n))

    assert set(np.flatnonzero(~scored.kept).tolist()) == marked
    good = [at for at in range(n) if at not in marked]
    assert sorted(seen) == good
    assert (scored.predictions is None) == (not good)
    if scored.predictions is not None:
        assert scored.predictions.columns["time"]["score"].tolist() == good
        assert scored.predictions.carried["seen"].tolist() == [
            sum(at in good for at in range(first, min(first + 3, n))) for first in range(0, n, 3)
        ]


def test_what_is_named_costs_three_passes_however_many_there_are() -> None:
    marked, passes = set(range(10, 900, 5)), 0

    def score(features: FeatureBatch) -> PredictionBatch:
        nonlocal passes
        passes += 1
        if guilty := [at for at, time in enumerate(features.event_time_ms.tolist()) if time in marked]:
            raise NotFiniteError("no", np.array(guilty))
        n = len(features)
        return PredictionBatch({}, np.ones((n, 4), np.float32), features.carried, np.zeros(n, bool), 0)

    scored = isolate(score, _features(900))

    assert set(np.flatnonzero(~scored.kept).tolist()) == marked
    assert passes == 3


@pytest.mark.parametrize("names", [False, True])
def test_a_model_that_scores_nothing_is_broken_and_sets_nothing_aside(names: bool) -> None:
    def score(features: FeatureBatch) -> PredictionBatch:
        raise NotFiniteError("no", np.arange(len(features))) if names else RuntimeError("device lost")

    with pytest.raises(ScoringError):
        isolate(score, _features(HOPELESS))


def _features(n: int) -> FeatureBatch:
    """n events of users with three events each, numbered by their time."""
    users = -(-n // 3)
    none = np.full(n, None, object)
    return FeatureBatch(
        row=np.arange(n) // 3,
        event_time_ms=np.arange(n),
        action=np.zeros(n, np.uint8),
        item=np.zeros(n, np.uint64),
        category=np.zeros(n, np.uint64),
        brand=np.zeros(n, np.uint64),
        gap_s=np.zeros(n, np.float32),
        numerics=np.zeros((n, 8), np.float32),
        track=np.zeros(n, np.uint8),
        text=none,
        confidence=np.zeros(n, np.float32),
        word_confidence=none,
        image=none,
        history_item=np.zeros((users, 4), np.uint64),
        history_action=np.full((users, 4), 255, np.uint8),
        history_time_ms=np.zeros((users, 4), np.int64),
        carried=np.zeros(users, np.dtype([("seen", "i8")])),
    )
