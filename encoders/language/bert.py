"""The BERT encoder (Devlin et al. 2019) in plain torch, frozen: a package holds its weights, no checkpoint does. Copies
of its upper layers may learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encoders.linear import gelu

EMBEDDINGS = ("word_embeddings", "position_embeddings", "token_type_embeddings")


class Shape(NamedTuple):
    """What the weights do not say themselves."""

    layers: int
    heads: int
    epsilon: float = 1e-12
    read: tuple[int, ...] = ()
    """Layers whose states are given, counted from 1; () for the last alone."""


class Bert(nn.Module):
    """Token ids to hidden states. `weights` are named as in a BERT checkpoint, without a prefix.

    They are buffers that no state holds: a model that reads text through a package does not carry the package.
    """

    dropout = 0.0

    def __init__(self, weights: Mapping[str, Tensor], shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.read = shape.read or (shape.layers,)
        self.width = int(weights["embeddings.word_embeddings.weight"].shape[1])
        self.size = self.width * len(self.read)
        names = [*(f"embeddings.{name}.weight" for name in EMBEDDINGS), *_normal("embeddings.LayerNorm")]
        for layer in range(shape.layers):
            names += _layer(f"encoder.layer.{layer}")
        for name in names:
            self.register_buffer(_plain(name), weights[name], persistent=False)

    def forward(self, ids: Tensor, real: Tensor) -> Tensor:
        """(n, t) int64 ids and bool, which are no padding: (n, t, size), the layers that are read side by side."""
        x = self._embedded(ids)
        mask = real[:, None, None]  # (n, 1, 1, t)
        states = []
        for layer in range(1, max(self.read) + 1):
            x = self._layer(x, mask, f"encoder.layer.{layer - 1}")
            states += [x] if layer in self.read else []
        return torch.cat(states, -1)

    def _embedded(self, ids: Tensor) -> Tensor:
        """Word, place and segment 0, normed: (n, t, width)."""
        place = self._of("embeddings.position_embeddings.weight")[: ids.shape[1]]
        segment = self._of("embeddings.token_type_embeddings.weight")[0]
        words = F.embedding(ids, self._of("embeddings.word_embeddings.weight")).to(place.dtype)
        return self._normed(words + place + segment, "embeddings.LayerNorm")

    def _layer(self, x: Tensor, mask: Tensor, at: str) -> Tensor:
        """Attention among the real tokens, then the feed-forward, each added and normed."""
        q, k, v = (self._split(self._linear(x, f"{at}.attention.self.{part}")) for part in ("query", "key", "value"))
        dropped = self.dropout if self.training else 0.0
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropped)  # (n, heads, t, d)
        seen = self._linear(seen.transpose(1, 2).flatten(2), f"{at}.attention.output.dense")
        x = self._normed(x + self._dropped(seen), f"{at}.attention.output.LayerNorm")
        wide = gelu(self._linear(x, f"{at}.intermediate.dense"))
        return self._normed(x + self._dropped(self._linear(wide, f"{at}.output.dense")), f"{at}.output.LayerNorm")

    def _dropped(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout) if self.dropout and self.training else x

    def _split(self, x: Tensor) -> Tensor:
        """(n, t, width) as (n, heads, t, width / heads)."""
        n, t, _ = x.shape
        return x.view(n, t, self.shape.heads, -1).transpose(1, 2)

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self._of(f"{name}.weight"), self._of(f"{name}.bias"))

    def _normed(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self._of(f"{name}.weight"), self._of(f"{name}.bias")
        return F.layer_norm(x, (self.width,), weight, bias, self.shape.epsilon)

    def _of(self, name: str) -> Tensor:
        return self.get_buffer(_plain(name))


class UpperLayers(Bert):
    """Copies of `count` layers of a BERT above one of its own, which learn."""

    dropout = 0.1

    def __init__(self, whole: Bert, above: int, count: int) -> None:
        """`above` is counted from 1. Raises ValueError where there are fewer layers."""
        nn.Module.__init__(self)
        self.shape, self.width = whole.shape, whole.width
        self.layers = range(above, above + count)
        if self.layers.stop > self.shape.layers:
            raise ValueError(f"no {count} layers above layer {above} of {self.shape.layers}")
        for layer in self.layers:
            for name in map(_plain, _layer(f"encoder.layer.{layer}")):
                self.register_parameter(name, nn.Parameter(whole.get_buffer(name).float().clone()))

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """The states (n, t, width) of the layer below, and which are real, to those of the last of these layers."""
        for layer in self.layers:
            x = self._layer(x, real[:, None, None], f"encoder.layer.{layer}")
        return x

    def _of(self, name: str) -> Tensor:
        return self.get_parameter(_plain(name))


def _plain(name: str) -> str:
    """A buffer's name may hold no dot."""
    return name.replace(".", "_")


def _normal(name: str) -> list[str]:
    return [f"{name}.weight", f"{name}.bias"]


def _layer(at: str) -> list[str]:
    parts = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
    dense = ("intermediate.dense", "output.dense", "attention.output.LayerNorm", "output.LayerNorm")
    return [name for part in (*parts, *dense) for name in _normal(f"{at}.{part}")]
