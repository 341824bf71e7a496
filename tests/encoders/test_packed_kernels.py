"""The Triton kernels do what plain torch does: on a GPU where there is one, else in Triton's interpreter."""

from __future__ import annotations

import importlib
import importlib.util
import os
from types import ModuleType

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.language import packed_layers
from encoders.language.packed_layers import Norm

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="this torch has no Triton")
WIDTH, HEADS, WORDS, PLACES = 48, 3, 50, 80
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
LENGTHS = st.lists(st.integers(0, PLACES), min_size=1, max_size=12).filter(any)


if DEVICE.type == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported, which nothing has done before


@pytest.fixture(scope="module")
def kernels() -> ModuleType:
    return importlib.import_module("encoders.language.packed_kernels")


def some(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


def edges_of(lengths: list[int]) -> torch.Tensor:
    return torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32).to(DEVICE)


def close(ours: torch.Tensor, theirs: torch.Tensor, atol: float = 2e-5) -> None:
    tight = DEVICE.type == "cpu"  # a GPU multiplies in TF32
    torch.testing.assert_close(ours, theirs, atol=atol if tight else 5e-3, rtol=1e-4 if tight else 5e-3)


NORM = Norm(some(WIDTH, seed=8) + 1, some(WIDTH, seed=9), 1e-12)


@given(LENGTHS)
@settings(deadline=None, max_examples=15)
def test_every_text_attends_to_itself_alone(kernels: ModuleType, lengths: list[int]) -> None:
    edges = edges_of(lengths)
    span = kernels.spans(edges, sum(lengths))
    joined = some(sum(lengths), 3 * WIDTH)
    close(kernels.attended(joined, span, HEADS), packed_layers.attended(joined, span, HEADS))


@given(LENGTHS)
@settings(deadline=None, max_examples=10)
def test_words_are_embedded_with_their_places(kernels: ModuleType, lengths: list[int]) -> None:
    count = sum(lengths)
    span = kernels.spans(edges_of(lengths), count)
    ids = torch.arange(count, dtype=torch.int32, device=DEVICE) * 7 % WORDS
    tables = some(WORDS, WIDTH, seed=1), some(PLACES, WIDTH, seed=2)
    close(kernels.embedded(ids, span, *tables, NORM), packed_layers.embedded(ids, span, *tables, NORM))


@given(LENGTHS)
@settings(deadline=None, max_examples=10)
def test_means_are_of_a_texts_own_tokens(kernels: ModuleType, lengths: list[int]) -> None:
    hidden, edges = some(sum(lengths), WIDTH), edges_of(lengths)
    found = kernels.means(hidden, edges)
    close(found, packed_layers.means(hidden, edges))
    assert (found[[length == 0 for length in lengths]] == 0).all()


@pytest.mark.parametrize("rows", [1, 3, 4, 9])
def test_sums_are_normed(kernels: ModuleType, rows: int) -> None:
    x, other = some(rows, WIDTH, seed=3) * 5, some(rows, WIDTH, seed=4)
    close(kernels.added_normed(x, other, NORM), packed_layers.added_normed(x, other, NORM))


def test_a_product_is_widened(kernels: ModuleType) -> None:
    x, weight, bias = some(9, WIDTH), some(4 * WIDTH, WIDTH, seed=1) * 0.2, some(4 * WIDTH, seed=2)
    close(kernels.widened(x, weight, bias), packed_layers.widened(x, weight, bias), atol=1e-3)
