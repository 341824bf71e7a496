"""The simulated recogniser: words that sound alike, confidences that tell."""

from __future__ import annotations

import numpy as np
import pytest

from fusion.noise import Recogniser, sound, spoken_words

TEXTS = ["turn the lights off", "lets see the weather", "whether it rains tonight", "play jazz all night", "我要退款"]


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    return Recogniser(TEXTS * 3)


@pytest.mark.parametrize(("one", "other"), [("weather", "whether"), ("night", "nite"), ("phone", "fone")])
def test_words_that_sound_alike_have_one_sound(one: str, other: str) -> None:
    assert sound(one) == sound(other)
    assert sound(one) != sound("playlist")


def test_a_word_is_mistaken_for_one_that_sounds_like_it(recogniser: Recogniser) -> None:
    places, upto = recogniser.sounding_like("weather")
    assert recogniser.words[places[0]] == "whether"
    assert "weather" not in {recogniser.words[place] for place in places[:-1]}
    np.testing.assert_allclose(upto[-1], 1)


def test_without_errors_all_is_heard(recogniser: Recogniser) -> None:
    heard = recogniser(TEXTS, np.random.default_rng(0), rate=0.0)
    assert [spoken_words(text or "") for text in heard.text] == [spoken_words(text) for text in TEXTS]


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0])
def test_every_heard_word_has_a_confidence_and_no_text_is_lost(recogniser: Recogniser, rate: float) -> None:
    heard = recogniser(TEXTS * 20, np.random.default_rng(0), rate=rate)
    for text, each, whole in zip(heard.text, heard.word_confidence, heard.confidence, strict=True):
        assert text
        assert each is not None
        assert ((each > 0) & (each <= 1)).all()
        assert len(each) == len(text.split())
        assert whole == pytest.approx(each.mean())


def test_the_worse_it_hears_the_less_sure_it_is(recogniser: Recogniser) -> None:
    well, badly = (recogniser(TEXTS * 20, np.random.default_rng(0), rate=rate).confidence for rate in (0.0, 0.8))
    assert well.mean() > badly.mean() + 0.2


def test_the_same_seed_mishears_alike(recogniser: Recogniser) -> None:
    first, again = (recogniser(TEXTS, np.random.default_rng(3)).text for _ in range(2))
    assert first == again


def test_with_no_words_to_mistake_there_is_still_something_heard() -> None:
    heard = Recogniser([])(["red shoes", ""], np.random.default_rng(0), rate=1.0)
    assert heard.text[0]
    assert heard.text[1] == ""
    assert np.isnan(heard.confidence[1])
