import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion.evaluation import auc, binary_report, choice_report
from stream_app.evaluation.draws import binary_draws, choice_draws, interval, resamples


def test_the_first_draw_is_the_plain_figure() -> None:
    rng = np.random.default_rng(0)
    label, score = (rng.random(300) < 0.3).astype(np.float32), rng.random(300).round(2)
    drawn, plain = binary_draws(label, score, np.ones((1, 300))), binary_report(label, score)
    for name, value in drawn.items():
        assert value[0] == pytest.approx(plain[name]), name
    scores = rng.dirichlet(np.ones(4), 300)
    choice = rng.integers(0, 4, 300)
    several, report = choice_draws(choice, scores, np.ones((1, 300))), choice_report(choice, scores)
    for name in ("accuracy", "f1_macro", "log_loss", "ece"):
        assert several[name][0] == pytest.approx(report[name]), name


@given(st.integers(0, 2**32 - 1))
def test_a_weight_counts_as_so_many_cases(seed: int) -> None:
    rng = np.random.default_rng(seed)
    label, score = (np.arange(40) % 3 == 0).astype(np.float32), rng.random(40).round(1)
    weight = rng.integers(0, 4, 40)
    weight[:2] = 1
    many = np.repeat(np.arange(40), weight)
    assert binary_draws(label, score, weight[None].astype(float))["auc"][0] == pytest.approx(
        auc(label[many], score[many])
    )


def test_groups_are_drawn_whole() -> None:
    group = np.array([7, 7, 7, 2, 2, 9])
    weight = resamples(group, 50)
    assert weight.shape == (51, 6)
    assert (weight[0] == 1).all()
    assert (weight[:, 0] == weight[:, 1]).all()
    assert (weight[:, [0, 3, 5]].sum(1) == 3).all()
    assert interval(np.concatenate([[0.0], np.arange(101.0)])) == (2.5, 97.5)
