"""Texts of mixed lengths as one row of tokens, filled up to one of a few sizes, so that a CUDA graph fits it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LEAST = 4
"""Mean tokens of a text, padding left out, for which a bucket has places; shorter ones fill more buckets."""
SIZES = (256, 384, 512, 768, 1_024, 1_536, 2_048, 3_072, 4_096, 6_144, 8_192, 12_288, 16_384, 24_576, 32_768)
"""Tokens of the buckets; twice as many as the last are 4 % quicker a token on an H100."""

Ints = NDArray[np.int32]


class Bucket(NamedTuple):
    """What one graph takes."""

    tokens: int
    texts: int  # places for texts, those of the padding among them
    longest: int  # tokens of a text

    @property
    def numbers(self) -> int:
        """Of the row that holds all of it."""
        return self.tokens + self.texts + 1

    @property
    def paddings(self) -> int:
        """Texts that the rest may have to be cut into."""
        return -(-self.tokens // self.longest)


class Packed(NamedTuple):
    """Tokens of consecutive texts, then padding texts, then empty ones."""

    ids: Tensor  # (tokens,) int32
    edges: Tensor  # (texts + 1,) int32 where texts begin and end


def buckets(longest: int, sizes: tuple[int, ...] = SIZES) -> tuple[Bucket, ...]:
    """Smallest first. The largest must hold a text of the longest."""
    if sizes[-1] < longest:
        raise ValueError(f"no bucket holds a text of {longest} tokens")
    return tuple(Bucket(size, size // LEAST + -(-size // longest), longest) for size in sizes)


def chosen(tokens: int, texts: int, among: tuple[Bucket, ...]) -> Bucket:
    """The smallest bucket that holds so much; raises ValueError where none does."""
    for bucket in among:
        if tokens <= bucket.tokens and texts + bucket.paddings <= bucket.texts:
            return bucket
    raise ValueError(f"no bucket holds {tokens} tokens of {texts} texts")


def portions(lengths: NDArray[np.int64], largest: Bucket) -> Iterator[slice]:
    """Consecutive texts that go together, as many as the largest bucket holds."""
    ends = np.cumsum(lengths)
    most = largest.texts - largest.paddings
    start, before = 0, 0
    while start < len(lengths):
        end = min(int(np.searchsorted(ends, before + largest.tokens, side="right")), start + most)
        if end == start:
            raise ValueError(f"a text of {lengths[start]} tokens fits no bucket")
        yield slice(start, end)
        start, before = end, int(ends[end - 1])


def pack(tokens: NDArray[np.int64], lengths: NDArray[np.int64], bucket: Bucket, row: Ints) -> None:
    """Write texts that lie one behind the other in `tokens`, and their padding, to `row` (bucket.numbers,)."""
    used, texts = len(tokens), len(lengths)
    ids, edges = row[: bucket.tokens], row[bucket.tokens :]
    ids[:used], ids[used:] = tokens, 0
    edges[0] = 0
    np.cumsum(lengths, out=edges[1 : texts + 1])
    edges[texts + 1 :] = np.minimum(used + bucket.longest * np.arange(1, bucket.texts - texts + 1), bucket.tokens)


def opened(row: Tensor, bucket: Bucket) -> Packed:
    """The parts of what `pack` wrote, in place."""
    return Packed(*torch.split(row, [bucket.tokens, bucket.texts + 1]))
