"""`packed_layers` for CUDA, in Triton: passes over memory are joined, and attention looks at a text's own tokens alone.

Attention is FlashAttention-2 (Dao 2023, arXiv 2307.08691) over tiles of consecutive tokens, whatever texts they are of:
`varlen_attn` gives each text and head a tile of 128 by itself, of which texts of 23 tokens leave most idle, and takes
half of the model's time for it. With TRITON_INTERPRET=1 all of it runs on a CPU.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from encoders.language.packed_layers import Norm, Span, spans

__all__ = ["added_normed", "attended", "embedded", "means", "spans", "widened"]

ROWS = 4
"""Tokens that are normed at once."""
QUERIES, KEYS = 64, 32
"""Tokens of a tile of attention; of several sizes the quickest on an H100."""
LOG2_E = 1.4426950408889634


@triton.jit
def _store_normed(out, x, weight, bias, rows, count, epsilon, size: tl.constexpr, wide: tl.constexpr):
    columns = tl.arange(0, wide)
    inside = columns < size
    mean = tl.sum(x, 1) / size
    apart = tl.where(inside[None, :], x - mean[:, None], 0.0)
    scale = tl.rsqrt(tl.sum(apart * apart, 1) / size + epsilon)
    w = tl.load(weight + columns, inside, 0.0).to(tl.float32)
    b = tl.load(bias + columns, inside, 0.0).to(tl.float32)
    y = apart * scale[:, None] * w[None, :] + b[None, :]
    real = (rows[:, None] < count) & inside[None, :]
    tl.store(out + rows[:, None] * size + columns[None, :], y.to(out.dtype.element_ty), real)


@triton.jit
def _added_normed(
    x, other, weight, bias, out, count, epsilon, size: tl.constexpr, wide: tl.constexpr, block: tl.constexpr
):
    rows, columns = tl.program_id(0) * block + tl.arange(0, block), tl.arange(0, wide)
    at = rows[:, None] * size + columns[None, :]
    real = (rows[:, None] < count) & (columns[None, :] < size)
    added = tl.load(x + at, real, 0.0).to(tl.float32) + tl.load(other + at, real, 0.0).to(tl.float32)
    _store_normed(out, added, weight, bias, rows, count, epsilon, size, wide)


@triton.jit
def _embedded(
    ids,
    start,
    words,
    places,
    weight,
    bias,
    out,
    count,
    epsilon,
    size: tl.constexpr,
    wide: tl.constexpr,
    block: tl.constexpr,
):
    rows, columns = tl.program_id(0) * block + tl.arange(0, block), tl.arange(0, wide)
    some = rows < count
    real = some[:, None] & (columns[None, :] < size)
    word = tl.load(ids + rows, some, 0).to(tl.int64)
    place = rows - tl.load(start + rows, some, 0)
    place = tl.where(some, place, 0)
    added = tl.load(words + word[:, None] * size + columns[None, :], real, 0.0).to(tl.float32)
    added += tl.load(places + place[:, None] * size + columns[None, :], real, 0.0).to(tl.float32)
    _store_normed(out, added, weight, bias, rows, count, epsilon, size, wide)


@triton.jit
def _attended(
    joined,
    start,
    end,
    out,
    count,
    scale,
    heads: tl.constexpr,
    size: tl.constexpr,
    queries: tl.constexpr,
    keys: tl.constexpr,
):
    first, head = tl.program_id(0) * queries, tl.program_id(1)
    step: tl.constexpr = 3 * heads * size
    rows, part = first + tl.arange(0, queries), tl.arange(0, size)
    some = rows < count
    begins = tl.load(start + rows, some, 0)
    ends = tl.load(end + rows, some, 0)
    q = tl.load(joined + rows[:, None] * step + head * size + part[None, :], some[:, None], 0.0)
    left = tl.load(start + first)
    right = tl.load(end + tl.minimum(first + queries, count) - 1)
    best = tl.full((queries,), -1e30, tl.float32)
    total = tl.zeros((queries,), tl.float32)
    found = tl.zeros((queries, size), tl.float32)
    for at in range(left, right, keys):
        others = at + tl.arange(0, keys)
        there = others < right
        k = tl.load(joined + others[None, :] * step + (heads + head) * size + part[:, None], there[None, :], 0.0)
        own = (others[None, :] >= begins[:, None]) & (others[None, :] < ends[:, None])
        score = tl.where(own, tl.dot(q, k) * scale, -1e30)
        better = tl.maximum(best, tl.max(score, 1))
        share = tl.where(own, tl.exp2(score - better[:, None]), 0.0)
        faded = tl.exp2(best - better)
        total = total * faded + tl.sum(share, 1)
        v = tl.load(joined + others[:, None] * step + (2 * heads + head) * size + part[None, :], there[:, None], 0.0)
        found = found * faded[:, None] + tl.dot(share.to(v.dtype), v)
        best = better
    found = found / tl.maximum(total, 1e-20)[:, None]
    to = out + rows[:, None] * (heads * size) + head * size + part[None, :]
    tl.store(to, found.to(out.dtype.element_ty), some[:, None])


@triton.jit
def _means(hidden, edges, out, size: tl.constexpr, wide: tl.constexpr, block: tl.constexpr):
    text, columns = tl.program_id(0), tl.arange(0, wide)
    inside = columns < size
    first, last = tl.load(edges + text), tl.load(edges + text + 1)
    total = tl.zeros((wide,), tl.float32)
    for at in range(first, last, block):
        rows = at + tl.arange(0, block)
        real = (rows[:, None] < last) & inside[None, :]
        total += tl.sum(tl.load(hidden + rows[:, None] * size + columns[None, :], real, 0.0).to(tl.float32), 0)
    tl.store(out + text * size + columns, total / tl.maximum(last - first, 1), inside)


def embedded(ids: Tensor, span: Span, words: Tensor, places: Tensor, norm: Norm) -> Tensor:
    """As `packed_layers.embedded`."""
    count, size = len(ids), words.shape[1]
    out = words.new_empty(count, size)
    grid, shape = _by_rows(count, size)
    _embedded[grid](ids, span.start, words, places, *norm[:2], out, count, norm.epsilon, **shape)
    return out


def added_normed(x: Tensor, other: Tensor, norm: Norm) -> Tensor:
    """As `packed_layers.added_normed`, of contiguous tensors."""
    out = torch.empty_like(x)
    grid, shape = _by_rows(*x.shape)
    _added_normed[grid](x, other, *norm[:2], out, len(x), norm.epsilon, **shape)
    return out


def attended(joined: Tensor, span: Span, heads: int) -> Tensor:
    """As `packed_layers.attended`; a head's size is a power of two, 16 or more."""
    count, size = len(joined), joined.shape[1] // 3 // heads
    out = joined.new_empty(count, heads * size)
    grid = (triton.cdiv(count, QUERIES), heads)
    _attended[grid](joined, *span, out, count, LOG2_E / size**0.5, heads, size, QUERIES, KEYS)
    return out


def widened(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """As `packed_layers.widened`; on CUDA GELU is the product's epilogue, by its tanh form, within 5e-4."""
    return torch._addmm_activation(bias, x, weight.t(), use_gelu=True)


def means(hidden: Tensor, edges: Tensor) -> Tensor:
    """As `packed_layers.means`."""
    texts, size = len(edges) - 1, hidden.shape[1]
    out = torch.empty(texts, size, device=hidden.device)
    _means[(texts,)](hidden, edges, out, size=size, wide=triton.next_power_of_2(size), block=8)
    return out


def _by_rows(count: int, size: int) -> tuple[tuple[int], dict[str, Any]]:
    """The grid and the constants of a kernel that norms."""
    return (triton.cdiv(count, ROWS),), {"size": size, "wide": triton.next_power_of_2(size), "block": ROWS}
