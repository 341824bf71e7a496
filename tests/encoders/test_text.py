"""Text: one form, any script, the same ids however texts are batched."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from encoders.text import BUCKETS, MAX_CHARACTERS, TextEncoder, clean


def test_cleaning_unifies_width_case_and_apostrophes() -> None:
    assert clean("ＧＲＥＡＴ！ Don’t") == clean("great! don't") == "great! don't"


def test_ideographs_are_words_and_so_are_exclamations() -> None:
    encoder = TextEncoder()
    assert len(encoder.words("质量很差！")) == 5
    assert len(encoder.words("nice iPhone手机 😡")) == 5


def test_order_matters() -> None:
    bags = TextEncoder().prepare(["not good", "good not"])
    first, second = (set(part.tolist()) for part in bags.ids.split(bags.counts.tolist()))
    assert first != second


def test_endless_text_is_cut() -> None:
    assert len(TextEncoder().words("字" * 100_000)) == MAX_CHARACTERS


def test_a_full_cache_starts_anew(monkeypatch) -> None:
    monkeypatch.setattr("encoders.text._CACHE", 3)
    encoder = TextEncoder()
    before = encoder.prepare(["one two three four five"]).ids
    assert torch.equal(encoder.prepare(["one two three four five"]).ids, before)
    assert len(encoder._words) <= 3


@given(st.lists(st.none() | st.text(max_size=40), max_size=6))
def test_any_text_hashes_into_the_table_and_alone_as_together(texts: list[str | None]) -> None:
    encoder = TextEncoder.__new__(TextEncoder)
    torch.nn.Module.__init__(encoder)
    encoder._words = {}
    bags = encoder.prepare(texts)
    assert bags.counts.sum() == len(bags.ids) == len(bags.trust)
    assert ((bags.ids >= 0) & (bags.ids < BUCKETS)).all()
    parts = bags.ids.split(bags.counts.tolist()) if len(texts) else ()
    for text, part in zip(texts, parts, strict=True):
        assert torch.equal(encoder.prepare([text]).ids, part)
