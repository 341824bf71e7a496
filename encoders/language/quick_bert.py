"""BERT over packed tokens for CUDA: no padding inside a batch, bfloat16, one graph per bucket of tokens.

`Bert` over padded texts is what it must agree with. Where there is no Triton, as on a CPU, the same steps are plain
torch, and each text attends alone, which is slow and for tests.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from encoders.graphs import Graphs, Staging, Tensors, has_kernels
from encoders.language.bert import Bert
from encoders.language.packed_layers import Norm, Span
from encoders.language.packing import SIZES, Bucket, buckets, chosen, opened, pack, portions

if TYPE_CHECKING:
    from encoders.language.transformer import Tokens

PARTS = ("query", "key", "value")
HEAD = 16
"""Numbers of a head that Triton's products take at least."""


def able(bert: Bert, device: torch.device) -> bool:
    """Whether the device has kernels for this model."""
    size = bert.width // bert.shape.heads
    return has_kernels(device) and size >= HEAD and size.bit_count() == 1


class QuickBert:
    """Mean hidden states of texts. Inference only; one thread. Holds a copy of the weights on the device."""

    def __init__(
        self,
        bert: Bert,
        *,
        longest: int,
        device: torch.device,
        precision: torch.dtype = torch.bfloat16,
        sizes: tuple[int, ...] = SIZES,
    ) -> None:
        self.device, self.size = device, bert.size
        self.buckets = buckets(longest, sizes)
        self.tokens, self.filled = 0, 0  # that were read, and that were computed with the padding
        self._bert, self._precision = bert, precision
        name = "packed_kernels" if able(bert, device) else "packed_layers"
        self._layers: Any = importlib.import_module(f"encoders.language.{name}")  # Triton brings a compiler: if needed
        self._weights: dict[str, Tensor] = {}
        self._places = (
            self._of("embeddings.position_embeddings.weight") + self._of("embeddings.token_type_embeddings.weight")[:1]
        )  # all texts are of segment 0
        for layer in range(max(bert.read)):
            at = f"encoder.layer.{layer}.attention.self"
            for end in ("weight", "bias"):
                self._weights[f"{at}.{end}"] = torch.cat([self._of(f"{at}.{part}.{end}") for part in PARTS])
        self._graphs: Graphs[Bucket, Tensors] = Graphs(self._step, self._made, device)
        self._staging = Staging(device)

    @torch.no_grad()
    def pooled(self, texts: Tokens) -> Tensor:
        """(n, size) float32 on the device of texts on the CPU; zeros where a text has no token. Waits for nothing."""
        ids, real = texts.ids.numpy(), texts.real.numpy()
        lengths = real.sum(1, dtype=np.int64)
        parts = []
        for portion in portions(lengths, self.buckets[-1]):
            mine = lengths[portion]
            used = int(mine.sum())
            bucket = chosen(used, len(mine), self.buckets)
            row = self._staging.take(4 * bucket.numbers).view(torch.int32)
            pack(ids[portion][real[portion]], mine, bucket, row.numpy())
            (means,) = self._graphs(bucket, (row,))
            self._staging.sent()
            parts.append(means[: len(mine)].clone())
            self.tokens, self.filled = self.tokens + used, self.filled + bucket.tokens
        return torch.cat(parts) if parts else torch.zeros(0, self.size, device=self.device)

    def _made(self, bucket: Bucket) -> Tensors:
        """A row of padding alone."""
        row = np.zeros(bucket.numbers, np.int32)
        none = np.zeros(0, np.int64)
        pack(none, none, bucket, row)
        return (torch.from_numpy(row).to(self.device),)

    def _step(self, bucket: Bucket, given: Tensors) -> Tensors:
        """(texts, size) float32 means."""
        ids, edges = opened(given[0], bucket)
        span = self._layers.spans(edges, bucket.tokens)
        words, norm = self._of("embeddings.word_embeddings.weight"), self._norm("embeddings.LayerNorm")
        x = self._layers.embedded(ids, span, words, self._places, norm)  # (tokens, width)
        states = []
        for layer in range(1, max(self._bert.read) + 1):
            x = self._layer(x, span, f"encoder.layer.{layer - 1}")
            states += [x] if layer in self._bert.read else []
        return (torch.cat([self._layers.means(state, edges) for state in states], -1),)

    def _layer(self, x: Tensor, span: Span, at: str) -> Tensor:
        """(tokens, width), as Bert's, with one product for queries, keys and values."""
        layers = self._layers
        seen = layers.attended(self._linear(x, f"{at}.attention.self"), span, self._bert.shape.heads)
        seen = self._linear(seen, f"{at}.attention.output.dense")
        x = layers.added_normed(seen, x, self._norm(f"{at}.attention.output.LayerNorm"))
        wide = layers.widened(x, *(self._of(f"{at}.intermediate.dense.{end}") for end in ("weight", "bias")))
        out = self._linear(wide, f"{at}.output.dense")
        normed: Tensor = layers.added_normed(out, x, self._norm(f"{at}.output.LayerNorm"))
        return normed

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self._of(f"{name}.weight"), self._of(f"{name}.bias"))

    def _norm(self, name: str) -> Norm:
        return Norm(self._of(f"{name}.weight"), self._of(f"{name}.bias"), self._bert.shape.epsilon)

    def _of(self, name: str) -> Tensor:
        """A weight on the device in the precision; copied when first asked for."""
        if name not in self._weights:
            self._weights[name] = self._bert.get_buffer(name.replace(".", "_")).to(self.device, self._precision)
        return self._weights[name]
