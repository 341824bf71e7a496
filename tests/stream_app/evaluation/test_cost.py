"""What scoring costs: every step is counted once, and the traffic is the stream's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusion.scorer import STEPS, Scorer
from stream_app.evaluation.cost import cost, measured
from stream_app.evaluation.row import Run
from stream_app.evaluation.traffic import ITEMS, batches, learn_catalogue, traffic
from stream_app.events import ACTIONS


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer.load(device="cpu", actions=ACTIONS)


def test_the_steps_add_up_to_the_whole(scorer: Scorer) -> None:
    found = measured(scorer, batches(scorer, traffic(300), 64, 2), 0.2)
    assert set(found.steps_us) == set(STEPS)
    for turn, whole in enumerate(found.us):
        assert 0.8 * whole < sum(steps[turn] for steps in found.steps_us.values()) <= whole
    assert found.interval[0] >= found.least > 0


def test_batches_carry_what_was_before_them(scorer: Scorer) -> None:
    events = traffic(600)
    found = batches(scorer, events, 50, 4)
    assert [len(batch) for batch in found] == [50] * 4
    np.testing.assert_array_equal(
        np.sort(np.concatenate([batch.event_time_ms for batch in found])),
        np.sort(events.event_time_ms[len(events) - 200 :]),
    )
    assert all((batch.carried["seen"] > 0).any() for batch in found)


def test_the_catalogue_has_ten_thousand_items(scorer: Scorer) -> None:
    learn_catalogue(scorer.index, traffic(600))
    assert len(scorer.index) == ITEMS


def test_a_quick_run_gives_a_row_per_size_and_step(tmp_path: Path) -> None:
    rows = {row.metric: row for row in cost(Run(tmp_path, quick=True))}
    assert {f"cpu_us_per_event_batch_{size}" for size in (1, 64, 512)} | {
        f"cpu_us_per_event_{step}" for step in STEPS
    } == set(rows)
    one, many = (rows[f"cpu_us_per_event_batch_{size}"] for size in (1, 512))
    assert one.ours > many.ours > 0
    assert many.baselines["gru_over_50_events"] > 0
    assert list(cost(Run(tmp_path, only="rees46"))) == []
