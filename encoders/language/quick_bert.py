"""BERT over packed tokens for CUDA: no padding inside a batch, bfloat16, one graph per bucket of tokens.

`Bert` over padded texts is what it must agree with. `varlen_attn` has no CPU kernel: there each text attends alone,
which is slow and for tests.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from encoders.graphs import Graphs, Staging, Tensors
from encoders.language.bert import Bert
from encoders.language.packing import SIZES, Bucket, buckets, chosen, opened, pack, portions

if TYPE_CHECKING:
    from encoders.language.transformer import Tokens

PARTS = ("query", "key", "value")


@cache
def kernel() -> Callable[..., Any] | None:
    """`varlen_attn`, None before torch 2.10. Imported when asked for: it brings the compiler along, for seconds."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn


def able(bert: Bert, device: torch.device) -> bool:
    """Whether the device and this torch have the kernel for this model."""
    return device.type == "cuda" and kernel() is not None and bert.width // bert.shape.heads % 8 == 0


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
        self._weights: dict[str, Tensor] = {}
        for layer in range(max(bert.read)):
            at = f"encoder.layer.{layer}.attention.self"
            for end in ("weight", "bias"):
                self._weights[f"{at}.{end}"] = torch.cat([self._of(f"{at}.{part}.{end}") for part in PARTS])
        self._graphs: Graphs[Bucket, Tensors] = Graphs(self._step, self._made, device)
        self._staging = Staging(device)

    @torch.no_grad()
    def pooled(self, texts: Tokens) -> Tensor:
        """(n, size) float32 on the device of texts on the CPU; zeros where a text has no token. Waits for nothing."""
        real = texts.real.numpy()
        lengths = real.sum(1, dtype=np.int64)
        tokens, ends = texts.ids.numpy()[real], np.cumsum(lengths)
        parts = []
        for portion in portions(lengths, self.buckets[-1]):
            mine = lengths[portion]
            used = int(mine.sum())
            bucket = chosen(used, len(mine), self.buckets)
            row = self._staging.take(4 * bucket.numbers).view(torch.int32)
            end = ends[portion.stop - 1]
            pack(tokens[end - used : end], mine, bucket, row.numpy())
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
        ids, place, edges = opened(given[0], bucket)
        x = F.embedding(ids, self._of("embeddings.word_embeddings.weight"))  # (tokens, width)
        x = x + F.embedding(place, self._of("embeddings.position_embeddings.weight"))
        x = self._normed(x + self._of("embeddings.token_type_embeddings.weight")[0], "embeddings.LayerNorm")
        states = []
        for layer in range(1, max(self._bert.read) + 1):
            x = self._layer(x, edges, bucket.longest, f"encoder.layer.{layer - 1}")
            states += [x] if layer in self._bert.read else []
        hidden = torch.cat(states, -1).float()  # (tokens, size)
        all_of_them = torch.arange(bucket.tokens, dtype=torch.int32, device=hidden.device)
        summed = F.embedding_bag(all_of_them, hidden, edges, mode="sum", include_last_offset=True)  # (texts, size)
        return (summed / edges.diff().clamp(min=1)[:, None],)

    def _layer(self, x: Tensor, edges: Tensor, longest: int, at: str) -> Tensor:
        """(tokens, width), as Bert's, with one product for queries, keys and values."""
        heads = self._bert.shape.heads
        q, k, v = self._linear(x, f"{at}.attention.self").view(len(x), 3, heads, -1).unbind(1)
        seen = attended(q, k, v, edges, longest).reshape(len(x), -1)
        x = self._normed(x + self._linear(seen, f"{at}.attention.output.dense"), f"{at}.attention.output.LayerNorm")
        wide = F.gelu(self._linear(x, f"{at}.intermediate.dense"))
        return self._normed(x + self._linear(wide, f"{at}.output.dense"), f"{at}.output.LayerNorm")

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self._of(f"{name}.weight"), self._of(f"{name}.bias"))

    def _normed(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self._of(f"{name}.weight"), self._of(f"{name}.bias")
        return F.layer_norm(x, (x.shape[-1],), weight, bias, self._bert.shape.epsilon)

    def _of(self, name: str) -> Tensor:
        """A weight on the device in the precision; copied when first asked for."""
        if name not in self._weights:
            self._weights[name] = self._bert.get_buffer(name.replace(".", "_")).to(self.device, self._precision)
        return self._weights[name]


def attended(q: Tensor, k: Tensor, v: Tensor, edges: Tensor, longest: int) -> Tensor:
    """Attention (tokens, heads, d) of every text to itself."""
    if (varlen := kernel() if q.is_cuda else None) is not None:
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.FLASH_ATTENTION):
            return cast(Tensor, varlen(q, k, v, edges, edges, longest, longest))
    parts = []
    for a, b in pairwise(edges.tolist()):
        one, other, values = (part[a:b].transpose(0, 1) for part in (q, k, v))
        parts.append(F.scaled_dot_product_attention(one, other, values).transpose(0, 1))
    return torch.cat(parts)
