"""The calibration suite tells honest probabilities from others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusion.evaluation import calibration_error
from stream_app.evaluation import Run
from stream_app.evaluation.calibration import FEWEST, Answers, calibration, rows_of

N = 4000


def answers(*, honest: bool) -> Answers:
    """Two masks; dishonest ones say twice as much as happens where only words are known."""
    rng = np.random.default_rng(0)
    chance, mask = rng.random(N) / 2, np.arange(N) % 2 + 1
    label = (rng.random(N) < chance).astype(np.float32)
    said = np.where((mask == 2) & (not honest), chance * 2, chance)
    return Answers(said, chance, label, np.arange(N) // 4, mask)


def test_each_mask_is_judged_and_the_worst_named(tmp_path: Path) -> None:
    run = Run(tmp_path, quick=True, pictures=tmp_path)
    good, bad = (
        {row.metric: row for row in rows_of("shop", "purchase", answers(honest=honest), run)}
        for honest in (True, False)
    )
    assert set(good) == {f"purchase ece, {part}" for part in ("all masks", "behavior", "text", "worst mask")}
    assert good["purchase ece, worst mask"].ours < 0.04
    assert bad["purchase ece, worst mask"].ours == bad["purchase ece, text"].ours > 0.2
    row = bad["purchase ece, text"]
    one = answers(honest=False)
    chosen = one.mask == 2
    np.testing.assert_allclose(row.ours, calibration_error(one.label[chosen], one.score[chosen]))
    assert row.baselines["uncalibrated"] < 0.04
    assert row.interval is not None
    assert row.interval[0] < row.ours < row.interval[1] + 0.02
    assert (tmp_path / "calibration-shop-purchase.png").stat().st_size > 1000


def test_few_answers_are_not_judged(tmp_path: Path) -> None:
    few = answers(honest=True).take(np.arange(N) < FEWEST - 1)
    assert not list(rows_of("shop", "purchase", few, Run(tmp_path)))


@pytest.mark.timeout(120)
def test_a_quick_run_on_recorded_sets(data_dir: Path) -> None:
    rows = list(calibration(Run(data_dir, only="rees46", quick=True)))
    assert {row.set for row in rows} == {"rees46"}
    assert all(0 <= row.ours <= 1 for row in rows)
