"""What control records do to the models of a worker and to its pipelines; no broker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import pytest_asyncio

from stream_app.metrics import Metrics
from stream_app.models import change as changes
from stream_app.models.artefact import Served, serve
from stream_app.models.change import Artefact, ModelChange, Shadow
from stream_app.models.grades import Grade
from stream_app.models.life import Models, load_configured
from stream_app.models.memory import held_dtype
from stream_app.records import OutputRecord, Record
from stream_app.settings import Settings, load
from stream_app.state import StateSettings, TaskState
from stream_app.worker.device import Device
from stream_app.worker.pipeline import Pipeline
from stream_app.worker.scoring import Scoring
from tests.stream_app.models.variants import other_encoders, other_heads, variant
from tests.stream_app.worker.test_isolation import DAY_MS, NAMES, START_MS, arrived, taken

WALL_CLOCK = ("processed_at", "latency_ms")


@dataclass(frozen=True)
class Shelf:
    """Artefacts by name and the settings under which they lie."""

    settings: Settings
    heads: Artefact
    encoders: Artefact


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    folder = tmp_path_factory.mktemp("models")
    settings = load(model__folder=folder, model__device="cpu", model__return_after=100, topics__partitions=1)
    return Shelf(settings, variant(folder, "heads", other_heads), variant(folder, "encoders", other_encoders))


@pytest.fixture(scope="module")
def configured(shelf: Shelf) -> Served:
    return load_configured(shelf.settings)


@pytest.fixture
def device() -> Iterator[Device]:
    with Device() as executor:
        yield executor


@pytest_asyncio.fixture
async def models(shelf: Shelf, configured: Served, device: Device) -> AsyncIterator[Models]:
    made = Models(configured, settings=shelf.settings, metrics=Metrics(), device=device)
    yield made
    made.close()


def record(offset: int, change: ModelChange | bytes, key: bytes = changes.KEY) -> Record:
    value = change if isinstance(change, bytes) else changes.encode(change)
    return Record(NAMES.control, 0, offset, 0, key, value)


def order(named: Artefact, **more: Any) -> ModelChange:
    return ModelChange(digest=named.digest, path=named.path, **more)


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"behavior_model_{name}", labels)


def test_a_record_survives_its_encoding_and_says_what_it_is() -> None:
    change = order(
        Artefact(digest="a" * 64, path="x.safetensors"),
        shadow=Shadow(digest="b" * 64, share=0.25),
        before=Artefact(digest="c" * 64),
        instead_of=7,
        reason="why",
    )
    assert changes.decode(changes.encode(change)) == change
    assert orjson.loads(changes.encode(change))["kind"] == "model"


async def test_it_begins_with_the_last_record_of_a_compacted_topic(models: Models, shelf: Shelf) -> None:
    left = order(shelf.encoders, instead_of=3)  # what it took back is compacted away
    await models.start([record(8, order(shelf.heads), key=b"a user"), record(9, left)])

    assert models.live.named == shelf.encoders
    assert models.live.position == 9


async def test_all_models_of_a_worker_share_its_item_index_though_it_is_empty(
    models: Models, shelf: Shelf, configured: Served
) -> None:
    await models.start([record(0, order(shelf.heads))])

    assert not len(configured.scorer.index)
    assert models.live.scorer is not configured.scorer
    assert models.live.scorer.index is configured.scorer.index


async def test_a_word_that_was_not_sent_in_time_is_forgotten(models: Models, shelf: Shelf) -> None:
    await models.start([])
    await models.take_in([record(0, order(shelf.heads)), record(1, b"{")], judge=True)
    await models.take_in([record(2, order(shelf.encoders))], judge=True)

    assert models.due() is None


async def test_where_the_named_model_is_broken_it_begins_with_the_one_before(models: Models, shelf: Shelf) -> None:
    gone = Artefact(digest="0" * 64, path="gone.safetensors")
    await models.start([record(1, order(gone, before=shelf.heads))])

    assert models.live.named == shelf.heads


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{", "record"),
        (b'{"kind":"model"}', "record"),
        (b'{"kind":"model","digest":"%s","path":"x.pkl"}' % (b"0" * 64), "record"),
        (b'{"kind":"model","digest":"%s","path":"../x.safetensors"}' % (b"0" * 64), "path"),
        (b'{"kind":"model","digest":"%s","path":"x.safetensors"}' % (b"0" * 64), "missing"),
    ],
)
async def test_a_record_that_cannot_be_followed_leaves_the_running_model(
    shelf: Shelf, configured: Served, device: Device, value: bytes, reason: str
) -> None:
    metrics = Metrics()
    models = Models(configured, settings=shelf.settings, metrics=metrics, device=device)
    await models.start([])
    await models.take_in([record(0, value)], judge=True)

    assert models.live.scorer is configured.scorer
    assert sample(metrics, "refused_total", reason=reason) == 1
    assert sample(metrics, "swaps_total") == 0
    models.close()


def graded(grade: Grade, n: int, probability: float) -> None:
    """As if so many next actions had been given that probability, give or take."""
    spread = np.linspace(0.95, 1.05, n)
    grade.add_choices(probability * spread, np.ones(n, bool))


async def test_a_model_that_does_worse_is_taken_back_once(models: Models, shelf: Shelf, configured: Served) -> None:
    await models.start([])
    await models.take_in([record(4, order(shelf.heads, before=configured.named))], judge=True)
    graded(models.grade_of(configured), 500, 0.5)
    graded(models.grade_of(models.live), 99, 0.3)
    models.judge()
    assert models.due() is None, "too few answers"
    graded(models.grade_of(models.live), 1, 0.3)
    models.judge()
    word = models.due()
    models.judge()
    assert models.due() is None, "once"

    assert word is not None
    back = changes.decode(word)
    assert (back.digest, back.instead_of, back.before) == (configured.named.digest, 4, None)
    assert back.reason.startswith("log loss of next_action")
    await models.take_in([record(5, word), record(6, word)], judge=False)
    assert models.live.scorer is configured.scorer
    assert models.live.position == 5, "the second one is void"


async def test_a_model_within_the_margin_or_without_a_predecessor_stays(
    models: Models, shelf: Shelf, configured: Served
) -> None:
    await models.start([])
    await models.take_in([record(0, order(shelf.heads))], judge=True)
    graded(models.grade_of(configured), 500, 0.5)
    graded(models.grade_of(models.live), 500, 0.01)
    models.judge()
    assert models.due() is None, "nothing to return to"
    await models.take_in([record(1, order(shelf.encoders, before=shelf.heads))], judge=True)
    graded(models.grade_of(models.live), 500, 0.009)
    models.judge()
    assert models.due() is None, "2 % worse"


async def test_a_void_record_at_the_end_of_the_topic_is_answered_by_what_holds(models: Models, shelf: Shelf) -> None:
    await models.start([])
    await models.take_in([record(0, order(shelf.heads)), record(1, order(shelf.encoders))], judge=True)
    late = order(shelf.heads, instead_of=0)
    await models.take_in([record(2, late)], judge=True)

    assert models.live.named == shelf.encoders
    word = models.due()
    assert word is not None
    assert changes.decode(word) == order(shelf.encoders)


class Line:
    """A pipeline of one task, fed by hand."""

    def __init__(self, models: Models, settings: Settings, device: Device, metrics: Metrics) -> None:
        scorer = models.live.scorer
        self.state = TaskState(
            StateSettings(**settings.state.model_dump()),
            carried=held_dtype(scorer.carried_dtype),
            history=scorer.history,
            inputs=5,
        )
        self.pipeline = Pipeline(
            0, state=self.state, models=models, scoring=Scoring(device), names=NAMES, settings=settings, metrics=metrics
        )

    async def feed(self, records: list[Record], batch: int) -> list[OutputRecord]:
        made: list[OutputRecord] = []
        for first in range(0, len(records), batch):
            out = await self.pipeline.run(taken(records[first : first + batch]), now_ms=START_MS + 30 * DAY_MS)
            made += out.records
        return made


def said(outputs: list[OutputRecord], topic: str = NAMES.predictions) -> list[dict[str, Any]]:
    found = [orjson.loads(record.value or b"") for record in outputs if record.topic == topic]
    return [{name: value for name, value in one.items() if name not in WALL_CLOCK} for one in found]


async def test_a_batch_has_one_model_and_the_next_one_the_new_model(
    models: Models, shelf: Shelf, configured: Served, device: Device
) -> None:
    await models.start([])
    line, records = Line(models, shelf.settings, device, Metrics()), arrived(set())
    running = asyncio.create_task(line.feed(records[:128], 128))
    await asyncio.sleep(0)  # the batch has begun
    await models.take_in([record(0, order(shelf.heads))], judge=False)
    before = said(await running)
    after = said(await line.feed(records[128:], 64))

    assert {one["model"]["digest"] for one in before} == {configured.named.digest}
    assert {one["model"]["digest"] for one in after} == {shelf.heads.digest}
    assert len(before) + len(after) == len(records)


async def test_the_stream_goes_on_while_a_model_loads(
    models: Models, shelf: Shelf, configured: Served, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    def slow(*arguments: Any, **more: Any) -> Served:
        assert released.wait(60)
        return serve(*arguments, **more)

    monkeypatch.setattr("stream_app.models.life.serve", slow)
    await models.start([])
    line, records = Line(models, shelf.settings, device, Metrics()), arrived(set())
    swap = asyncio.create_task(models.take_in([record(0, order(shelf.heads))], judge=False))
    made = said(await line.feed(records, 32))
    assert not swap.done()
    released.set()
    await swap

    assert {one["model"]["digest"] for one in made} == {configured.named.digest}
    assert models.live.named == shelf.heads


async def test_a_users_memory_outlives_a_swap_only_where_the_new_model_can_read_it(
    shelf: Shelf, configured: Served, device: Device
) -> None:
    records = arrived(set())
    cold: dict[str, int] = {}
    for named in (shelf.heads, shelf.encoders):
        models = Models(configured, settings=shelf.settings, metrics=Metrics(), device=device)
        await models.start([])
        line = Line(models, shelf.settings, device, Metrics())
        await line.feed(records[:200], 100)
        await models.take_in([record(0, order(named))], judge=False)
        late = [one for one in said(await line.feed(records[200:], 56)) if one["user_id"] == "u1"]
        assert late
        cold[named.digest] = sum(one["cold_start"] for one in late)
        models.close()

    assert cold[shelf.heads.digest] == 0
    assert cold[shelf.encoders.digest] == 2, "a stranger for their first two events"


async def test_a_shadow_changes_nothing_but_is_measured(shelf: Shelf, configured: Served, device: Device) -> None:
    outputs = {}
    for shadow in (None, Shadow(digest=shelf.encoders.digest, path=shelf.encoders.path, share=1)):
        metrics = Metrics()
        models = Models(configured, settings=shelf.settings, metrics=metrics, device=device)
        await models.start([record(0, order(configured.named, shadow=shadow))])
        line = Line(models, shelf.settings, device, metrics)
        outputs[shadow] = await line.feed(arrived(set()), 64)
        line.pipeline.tick(now_ms=START_MS + 30 * DAY_MS + 60_000)  # the silent inputs no longer hold the clock
        await asyncio.get_running_loop().run_in_executor(device, int)  # the shadow has done
        scored = sample(metrics, "shadow_events_total")
        assert (scored or 0) + (sample(metrics, "shadow_skipped_total") or 0) == (256 if shadow else 0)
        if shadow:
            label = f"encoders-{shelf.encoders.digest[:8]}"
            assert (sample(metrics, "graded_total", model=label, role="shadow", head="next_action") or 0) > 50
            assert (sample(metrics, "shadow_distance_total") or 0) > 0
        models.close()

    without, beside = outputs.values()
    assert len(without) == len(beside)
    for topic in (NAMES.predictions, NAMES.engagement, NAMES.signals, NAMES.insights):
        assert said(without, topic) == said(beside, topic)
    digests = [one["feature_digest"] for one in said(without)]
    assert len(set(digests)) == len(digests) == 256


async def test_the_share_of_a_shadow_is_the_same_users_and_grows() -> None:
    from stream_app.models.shadow import chosen

    users = [b"user-%d" % number for number in range(20_000)]
    tenth, third = chosen(users, 0.1), chosen(users, 0.3)
    assert abs(tenth.mean() - 0.1) < 0.01
    assert abs(third.mean() - 0.3) < 0.01
    assert not (tenth & ~third).any()
    assert (chosen(users[::-1], 0.1)[::-1] == tenth).all()


async def test_a_shadow_that_fails_is_off_and_nobody_notices(
    shelf: Shelf, configured: Served, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = Metrics()
    models = Models(configured, settings=shelf.settings, metrics=metrics, device=device)
    shadow = Shadow(digest=shelf.heads.digest, path=shelf.heads.path, share=1)
    await models.start([record(0, order(configured.named, shadow=shadow))])
    assert models.shadowing is not None
    line = Line(models, shelf.settings, device, metrics)
    monkeypatch.setattr(models.shadowing.served.scorer, "score", lambda _: 1 / 0)
    made = said(await line.feed(arrived(set()), 64))
    await asyncio.get_running_loop().run_in_executor(device, int)

    assert len(made) == 256
    assert sample(metrics, "refused_total", reason="shadow") == 1
    models.close()


async def test_churn_answers_wait_in_the_changelog(
    models: Models, shelf: Shelf, configured: Served, device: Device
) -> None:
    await models.start([])
    lines = [Line(models, shelf.settings, device, Metrics()) for _ in range(2)]
    made = await lines[0].feed(arrived(set()), 64)
    log = {one.key or b"": one.value for one in made if one.topic == NAMES.state}
    lines[1].pipeline.restore(log, now_ms=START_MS + 30 * DAY_MS)

    before, after = (line.state.carried for line in lines)
    assert (before["churn_s"] > 0).any()
    for name in ("memory", "churn_by", "churn", "churn_s", "back"):
        assert sorted(after[name].tolist()) == sorted(before[name][before["memory"] > 0].tolist()), name


async def test_a_word_for_the_topic_leaves_with_the_next_transaction_in_the_tasks_own_partition(
    models: Models, shelf: Shelf, configured: Served, device: Device
) -> None:
    await models.start([])
    await models.take_in([record(0, order(shelf.heads, before=configured.named))], judge=True)
    graded(models.grade_of(configured), 500, 0.5)
    graded(models.grade_of(models.live), 500, 0.3)
    models.judge()
    line = Line(models, shelf.settings, device, Metrics())
    out = line.pipeline.tick(now_ms=START_MS)

    assert out is not None
    (word,) = [one for one in out.outputs if one.topic == NAMES.control]
    assert (word.key, word.partition) == (changes.KEY, 0)
    assert line.pipeline.tick(now_ms=START_MS) is None


def test_the_folder_of_artefacts_is_in_the_data_folder_unless_named(tmp_path: Path) -> None:
    from stream_app.models.artefact import folder_of

    settings = load().model_copy(update={"data_dir": tmp_path})
    assert folder_of(settings) == tmp_path / "models"
