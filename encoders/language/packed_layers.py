"""What a BERT does with packed texts besides products, in plain torch: what `packed_kernels` must agree with."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Norm(NamedTuple):
    """A layer norm."""

    weight: Tensor  # (d,)
    bias: Tensor  # (d,)
    epsilon: float


class Span(NamedTuple):
    """The text that each token belongs to, as the places where it begins and ends."""

    start: Tensor  # (t,) int32
    end: Tensor  # (t,) int32


def spans(edges: Tensor, tokens: int) -> Span:
    """Of tokens in texts with these edges (n + 1,) int32, the last of which is `tokens`."""
    at = torch.arange(tokens, dtype=torch.int32, device=edges.device)
    text = torch.searchsorted(edges, at, right=True)
    return Span(edges[text - 1], edges[text])


def embedded(ids: Tensor, span: Span, words: Tensor, places: Tensor, norm: Norm) -> Tensor:
    """(t, d) of token ids (t,) int32: word and place in its text, normed."""
    place = torch.arange(len(ids), device=ids.device) - span.start
    return added_normed(F.embedding(ids, words), F.embedding(place, places), norm)


def added_normed(x: Tensor, other: Tensor, norm: Norm) -> Tensor:
    """(t, d) of two (t, d)."""
    return F.layer_norm(x + other, (x.shape[-1],), norm.weight, norm.bias, norm.epsilon)


def attended(joined: Tensor, span: Span, heads: int) -> Tensor:
    """Attention (t, d) of every text to itself; queries, keys and values side by side (t, 3 d)."""
    parts = []
    for start in torch.unique_consecutive(span.start).tolist():
        text = joined[start : int(span.end[start])]
        q, k, v = text.view(len(text), 3, heads, -1).permute(1, 2, 0, 3)
        parts.append(F.scaled_dot_product_attention(q, k, v).transpose(0, 1).flatten(1))
    return torch.cat(parts)


def widened(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """GELU of a product: (t, e) of (t, d), (e, d) and (e,)."""
    return F.gelu(F.linear(x, weight, bias))


def means(hidden: Tensor, edges: Tensor) -> Tensor:
    """(n, d) float32 over the texts of (t, d); zeros where a text has no token."""
    every = torch.arange(len(hidden), dtype=torch.int32, device=hidden.device)
    summed = F.embedding_bag(every, hidden.float(), edges, mode="sum", include_last_offset=True)
    return summed / edges.diff().clamp(min=1)[:, None]
