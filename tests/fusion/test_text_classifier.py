"""One text encoder alone, and two views blended."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from encoders import TEXT_ENCODERS
from fusion.evaluation import binary_report
from fusion.text_blend import TextBlend, Views
from fusion.text_classifier import TextPlan, learn_texts

GLAD, SAD = ("很好", "喜欢", "lovely", "满意"), ("很差", "失望", "awful", "退货")


def said(count: int, seed: int) -> tuple[list[str], NDArray[np.int64]]:
    """Texts of some neutral words and one that gives the feeling away."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, count)
    neutral = np.array(["这个 房间", "the shoes", "手机 今天", "again and again"])
    return [f"{rng.choice(neutral)} {rng.choice(GLAD if y else SAD)} {rng.choice(neutral)}" for y in label], label


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", ["static", "recurrent"])
def test_an_encoder_learns_alone_and_twice_the_same(name: str) -> None:
    texts, label = said(300, 0)
    unseen, truth = said(100, 1)
    answers = []
    for _ in range(2):
        torch.manual_seed(0)
        model = learn_texts(TEXT_ENCODERS[name](), texts, label, plan=TextPlan(epochs=3, rate=5e-3, batch=32))
        answers.append(model.probabilities(unseen))
    first, second = answers
    assert (first.argmax(1) == truth).mean() > 0.95
    np.testing.assert_allclose(first.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(first, second)


def test_no_texts_no_answers() -> None:
    texts, label = said(60, 0)
    model = learn_texts(TEXT_ENCODERS["static"](), texts, label, plan=TextPlan(epochs=1))
    assert model.probabilities([]).shape == (0, 2)
    assert np.isfinite(model.probabilities([None, ""])).all()


def test_the_blend_is_better_than_either_view() -> None:
    texts, label = said(900, 2)
    rng = np.random.default_rng(0)
    hidden = rng.random(900) < 0.5  # whose spelling says nothing
    spelling = np.array(["the shoes" if gone else text for gone, text in zip(hidden, texts, strict=True)], object)
    meaning = rng.normal(size=(900, 4)).astype(np.float32)
    meaning[:, 0] += 2 * label * hidden
    seen = Views(spelling, meaning)
    early, late = np.arange(600), np.arange(600, 900)
    verdict = TextBlend().fit(seen.take(early), label[early]).verdict(seen.take(late))
    auc = [binary_report(label[late], each)["auc"] for each in verdict]
    assert auc[2] > max(auc[:2]) + 0.05
    assert binary_report(label[late], verdict.blend)["ece"] < 0.12
