"""Voice: a word counts as much as the recogniser was sure of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from encoders.text import TextEncoder
from encoders.voice import UNKNOWN_CONFIDENCE, Utterances, VoiceEncoder, legible


def heard(text: str, sure: float = 0.9, words: list[float] | None = None) -> Utterances:
    each = None if words is None else np.array(words, np.float32)
    return Utterances([text], np.array([sure], np.float32), [each])


def vector(encoder: VoiceEncoder, track: Utterances) -> torch.Tensor:
    with torch.no_grad():
        return encoder(encoder.prepare(track)).vector[0]


def test_doubted_words_move_the_vector_less() -> None:
    torch.manual_seed(0)
    encoder = VoiceEncoder(TextEncoder())
    clean = vector(encoder, heard("red shoes"))
    sure, doubted = (vector(encoder, heard("red banana shoes", words=[0.9, s, 0.9])) for s in (0.9, 0.05))
    assert (doubted - clean).norm() < (sure - clean).norm()


def test_chinese_words_are_characters() -> None:
    encoder = VoiceEncoder(TextEncoder())
    prepared = encoder.prepare(heard("我要退款", words=[0.1, 0.2, 0.3, 0.4]))
    assert prepared.bags.trust[:4].tolist() == np.array([0.1, 0.2, 0.3, 0.4], np.float32).tolist()


def test_words_that_do_not_fit_the_transcript_count_as_their_mean() -> None:
    prepared = VoiceEncoder(TextEncoder()).prepare(heard("one two three", words=[0.2, 0.4]))
    torch.testing.assert_close(prepared.bags.trust, torch.full_like(prepared.bags.trust, 0.3))


def test_without_confidence_there_is_a_default() -> None:
    prepared = VoiceEncoder(TextEncoder()).prepare(heard("hello", sure=float("nan")))
    torch.testing.assert_close(prepared.confidence, torch.tensor([UNKNOWN_CONFIDENCE]))


@pytest.mark.parametrize(
    ("odd", "plain"),
    [
        ("what is the < unk > today", "what is the today"),
        ("<unk> today 's weather @@UNKNOWN@@", "today's weather"),
        ("i 'll say 'stop' now", "i'll say 'stop' now"),
        ("< unk >", ""),
        ("x <3 you", "x <3 you"),
    ],
)
def test_a_recogniser_s_own_marks_are_no_words(odd: str, plain: str) -> None:
    assert legible(odd, None) == (plain, None)


def test_confidences_follow_their_words_when_marks_go() -> None:
    text, each = legible("today 's <unk> shoes", np.array([0.9, 0.4, 0.1, 0.5], np.float32))
    assert text == "today's shoes"
    assert each is not None
    np.testing.assert_allclose(each, [0.4, 0.5])


def test_nothing_but_marks_is_absent() -> None:
    prepared = VoiceEncoder(TextEncoder()).prepare(heard("<unk> @@UNKNOWN@@", words=[0.2, 0.4]))
    assert prepared.bags.counts.tolist() == [0]
