"""Batches of several tasks in one call of the model: the same answers, and nobody else's poison."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from fusion.features import FeatureBatch, PredictionBatch
from fusion.scorer import Scorer
from stream_app.errors import ScoringError
from stream_app.worker import scoring as module
from stream_app.worker.device import Device
from stream_app.worker.isolation import Scored
from stream_app.worker.scoring import Answer, Scoring, joined, parted, together
from tests.fusion.shoppers import ACTIONS, shoppers

POISON = 12_345


class Counted(Scorer):
    """Counts its calls, and cannot bear one item."""

    calls = 0
    thread: threading.Thread | None = None

    def score(self, features: FeatureBatch, *args: object, **more: object) -> PredictionBatch:
        self.calls += 1
        self.thread = threading.current_thread()
        if (features.item == POISON).any():
            raise ValueError("poison")
        return super().score(features)


@pytest.fixture
def scorer() -> Counted:
    made = Scorer.load(device="cpu", actions=ACTIONS)
    made.__class__ = Counted
    return made  # type: ignore[return-value]


@pytest.fixture
def device() -> Iterator[Device]:
    with Device() as made:
        yield made


def batches() -> list[FeatureBatch]:
    return [shoppers(events, seed=events, words=0.3) for events in (40, 1, 90)]


def asked(scoring: Scoring, scorer: Scorer, given: list[FeatureBatch]) -> list[Answer | BaseException]:
    async def all_at_once() -> list[Answer | BaseException]:
        return await asyncio.gather(*[scoring.score(scorer, one) for one in given], return_exceptions=True)

    return asyncio.run(all_at_once())


def assert_equal(found: PredictionBatch, wanted: PredictionBatch) -> None:
    assert len(found) == len(wanted)
    for head, arrays in wanted.columns.items():
        for name, column in arrays.items():
            if column.dtype.kind == "f":
                np.testing.assert_allclose(found.columns[head][name], column, atol=1e-4, err_msg=f"{head}.{name}")
            else:
                np.testing.assert_array_equal(found.columns[head][name], column, err_msg=f"{head}.{name}")
    np.testing.assert_array_equal(found.cold_start, wanted.cold_start)
    np.testing.assert_array_equal(found.carried["seen"], wanted.carried["seen"])
    np.testing.assert_allclose(
        found.carried["state"].astype(int), wanted.carried["state"].astype(int), atol=1
    )  # a 127th where rounding falls the other way


def test_a_joined_batch_gives_what_each_gives_alone(scorer: Counted) -> None:
    given = batches()
    whole = joined(given)
    for found, one in zip(parted(Scored(scorer.score(whole), np.ones(len(whole), bool)), given), given, strict=True):
        assert found.predictions is not None
        assert_equal(found.predictions, scorer.score(one))


def test_joining_leaves_the_parts_as_they_were() -> None:
    given = batches()
    rows = [one.row.copy() for one in given]
    joined(given)
    for one, row in zip(given, rows, strict=True):
        np.testing.assert_array_equal(one.row, row)


def test_what_comes_together_is_scored_in_one_call(scorer: Counted, device: Device) -> None:
    given = batches()
    answers = asked(Scoring(device), scorer, given)
    assert scorer.calls == 1
    assert [len(a.scored.predictions or ()) for a in answers if isinstance(a, Answer)] == [40, 1, 90]
    assert all(a.scored.kept.all() and a.cpu_s > 0 for a in answers if isinstance(a, Answer))


def test_two_models_are_never_mixed(scorer: Counted, device: Device) -> None:
    other = Scorer.load(device="cpu", actions=ACTIONS)
    other.__class__ = Counted
    scoring, given = Scoring(device), batches()

    async def both() -> None:
        await asyncio.gather(
            scoring.score(scorer, given[0]), scoring.score(other, given[1]), scoring.score(scorer, given[2])
        )

    asyncio.run(both())
    assert scorer.calls == 1
    assert other.calls == 1  # type: ignore[attr-defined]


def test_the_poison_of_one_batch_is_no_others(scorer: Counted) -> None:
    given = batches()
    bad = given[2].item.copy()
    bad[7] = POISON
    found = together(scorer, [*given[:2], replace(given[2], item=bad)])
    kept = [answer.scored.kept for answer in found if isinstance(answer, Answer)]
    assert [int((~each).sum()) for each in kept] == [0, 0, 1]
    assert not kept[2][7]


def test_a_hopeless_batch_fails_alone(scorer: Counted, device: Device) -> None:
    given = batches()
    given[2] = replace(given[2], item=np.full(90, POISON, np.uint64))
    answers = asked(Scoring(device), scorer, given)
    assert [type(answer) for answer in answers] == [Answer, Answer, ScoringError]


@pytest.mark.parametrize(("seconds", "here"), [(60.0, True), (0.0, False)])
def test_a_short_call_is_made_on_the_event_loop_and_a_long_one_beside_it(
    scorer: Counted, device: Device, monkeypatch: pytest.MonkeyPatch, seconds: float, here: bool
) -> None:
    monkeypatch.setattr(module, "AT_ONCE_S", seconds)
    asked(Scoring(device), scorer, batches())
    assert (scorer.thread is threading.current_thread()) is here
