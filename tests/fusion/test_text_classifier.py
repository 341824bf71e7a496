"""One text encoder alone, and views blended."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from encoders import TEXT_ENCODERS
from encoders.language.transformer import padded
from fusion.evaluation import auc, binary_report
from fusion.text_blend import TextBlend, Views, asked, joined
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


def half_hidden(count: int, seed: int) -> tuple[Views, NDArray[np.int64]]:
    """Texts of which half say it by their spelling and the other half by their vector."""
    texts, label = said(count, seed)
    rng = np.random.default_rng(seed)
    hidden = rng.random(count) < 0.5
    spelling = np.array(["the shoes" if gone else text for gone, text in zip(hidden, texts, strict=True)], object)
    meaning = rng.normal(size=(count, 4)).astype(np.float32)
    meaning[:, 0] += 2 * label * hidden
    return Views((spelling,), meaning), label


@pytest.mark.usefixtures("one_thread")
def test_the_blend_is_better_than_either_view() -> None:
    seen, label = half_hidden(900, 2)
    early, late = np.arange(600), np.arange(600, 900)
    verdict = TextBlend().fit(seen.take(early), label[early]).verdict(seen.take(late))
    alone = [binary_report(label[late], each)["auc"] for each in verdict.alone.values()]
    ours = binary_report(label[late], verdict.blend)
    assert ours["auc"] > max(alone) + 0.05
    assert ours["ece"] < 0.12


@pytest.mark.usefixtures("one_thread")
def test_a_grade_helps_to_learn_a_label_with_noise() -> None:
    rng = np.random.default_rng(0)
    meaning = rng.normal(size=(900, 20)).astype(np.float32)
    grade = np.clip(np.round(3 + 1.5 * meaning[:, 0]), 1, 5)
    truth = (grade > 3).astype(np.int64)
    label = np.where(rng.random(900) < 0.3, 1 - truth, truth)
    seen = Views((np.full(900, "the shoes", object),), meaning)
    early, late = np.arange(400), np.arange(400, 900)
    with_grade, without = (
        TextBlend(analyzer="word").fit(seen.take(early), label[early], known).verdict(seen.take(late)).blend
        for known in (grade[early], None)
    )
    assert auc(truth[late], with_grade) > auc(truth[late], without) + 0.02


@pytest.mark.usefixtures("one_thread")
def test_a_title_is_read_apart_from_its_text() -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 600)
    body = np.array([" ".join(rng.choice([*GLAD, *SAD], 8)) for _ in label], object)
    titles = np.array([str(rng.choice(GLAD if y else SAD)) for y in label], object)
    nothing = np.zeros((600, 1), np.float32)
    early, late = np.arange(400), np.arange(400, 600)
    both = np.array([f"{title}. {text}" for title, text in zip(titles, body, strict=True)], object)
    apart, without = (
        TextBlend(analyzer="word", grams=(1, 1)).fit(seen.take(early), label[early]).verdict(seen.take(late)).blend
        for seen in (Views((both, titles), nothing), Views((both,), nothing))
    )
    assert auc(label[late], apart) > max(0.99, auc(label[late], without) + 0.01)


def test_steps_of_a_grade_that_part_too_few_are_not_asked() -> None:
    label, grade = np.arange(100) % 2, np.repeat([1.0, 2.0, 5.0], [10, 40, 50])
    np.testing.assert_array_equal(asked(label, None), label[:, None])
    np.testing.assert_array_equal(asked(label, grade), np.stack([label, grade > 2], 1))


def test_tokens_stay_with_their_text() -> None:
    parts = []
    for chosen, count in ((np.array([2, 0]), [1, 3]), (np.array([1]), [2])):
        tokens = padded([[10 * int(text) + at for at in range(size)] for text, size in zip(chosen, count, strict=True)])
        parts.append((chosen, tokens, tokens.ids[tokens.real].half().numpy()[:, None]))
    states = joined(parts, 3)
    for text, size in enumerate((3, 2, 1)):
        expected = [10 * text + at for at in range(size)]
        inside = slice(states.start[text], states.end[text])
        assert states.ids[inside].tolist() == states.hidden[inside, 0].tolist() == expected
