"""Texts read in order: what a bag of tokens cannot tell."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fusion.text_convolution import BATCH, LONGEST, Convolution, States, characters, shuffled

WIDTH = 8


def texts(count: int, seed: int) -> tuple[States, NDArray[np.int64]]:
    """Among neutral tokens 9 comes before 8 (yes) or after it (no); states say which token it is, no more."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, count)
    length = rng.integers(4, 12, count)
    end = np.cumsum(length)
    ids = rng.integers(1, 7, end[-1])
    for yes, start, size in zip(label, end - length, length, strict=True):
        at = start + rng.integers(0, size - 1)
        ids[at : at + 2] = (9, 8) if yes else (8, 9)
    hidden = np.random.default_rng(9).normal(size=(10, WIDTH)).astype(np.float16)[ids]
    return States(hidden, ids, end - length, end), label


@pytest.fixture(scope="module")
def learned() -> Convolution:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    states, label = texts(1500, 0)
    model = Convolution().fit(states, label[:, None])
    torch.set_num_threads(before)
    return model


def test_order_is_read(learned: Convolution) -> None:
    states, label = texts(300, 1)
    assert ((learned.decision_function(states)[:, 0] > 0) == label).mean() > 0.95


def test_neither_padding_nor_neighbours_change_an_answer(learned: Convolution) -> None:
    states, _ = texts(90, 2)
    together = learned.decision_function(states)
    alone = [learned.decision_function(states[np.array([text])])[0] for text in range(90)]
    np.testing.assert_allclose(together, alone, atol=1e-4)
    some = np.array([70, 3, 11])
    np.testing.assert_allclose(learned.decision_function(states[some]), together[some], atol=1e-4)


def test_the_same_seed_learns_the_same() -> None:
    states, label = texts(150, 3)
    first, second = (Convolution(4).fit(states, label[:, None]).decision_function(states) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_characters_are_read_in_order_without_any_states() -> None:
    rng = np.random.default_rng(5)
    label = rng.integers(0, 2, 1000)
    texts = ["".join(rng.choice([*"很是的了"], 6)) + ("不好" if yes else "好不") for yes in label]
    states = characters(texts)
    model = Convolution().fit(states[np.arange(800)], label[:800, None])
    assert ((model.decision_function(states[np.arange(800, 1000)])[:, 0] > 0) == label[800:]).mean() > 0.95


def test_every_text_has_characters() -> None:
    states = characters(["很好", "", "x" * (LONGEST + 1), "a\U0001f600"])
    np.testing.assert_array_equal(states.length, [2, 1, LONGEST, 2])
    assert (states.ids > 0).all()
    assert states.ids[-2:].tolist() == [ord("a"), 0x1F600]


def test_every_text_is_in_one_batch() -> None:
    length = np.random.default_rng(0).integers(1, 100, 1000)
    batches = list(shuffled(length, np.random.default_rng(1)))
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(1000))
    assert len(batches) == -(-1000 // BATCH)
    assert np.mean([length[each].std() for each in batches]) < length.std() / 3
