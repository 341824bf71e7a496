"""Text of any language as one vector: a bag of hashed words, word pairs and character n-grams."""

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
import xxhash
from numpy.typing import NDArray
from torch import Tensor, nn

from encoders.protocol import VECTOR, Encoded

BUCKETS = 1 << 17
MAX_CHARACTERS = 4096
_CACHE = 1 << 18
_IDEOGRAPH = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"[{_IDEOGRAPH}!?\u2600-\u27bf\U0001f300-\U0001faff]|[^\W_{_IDEOGRAPH}]+(?:'[^\W_{_IDEOGRAPH}]+)*")
_PAIR = np.uint64(0x9E3779B97F4A7C15)


class Bags(NamedTuple):
    """n texts as hashed tokens; `trust` is how sure the source is of each token."""

    ids: Tensor  # (m,) int64 into the table
    trust: Tensor  # (m,) float32 in 0..1
    offsets: Tensor  # (n,) int64 where each text begins
    counts: Tensor  # (n,) int64 tokens of each text; 0 = absent


class Word(NamedTuple):
    """A word as hashes: its own and its n-grams' table rows."""

    hash: int
    rows: bytes  # int64: joined many at a time, and no array of its own in a cache of 262,144
    ideograph: bool

    @property
    def ids(self) -> NDArray[np.int64]:
        """Rows of the table."""
        return np.frombuffer(self.rows, np.int64)


def clean(text: str) -> str:
    """The text in the one form that encoders know: NFKC, case folded, straight apostrophes."""
    return unicodedata.normalize("NFKC", text[:MAX_CHARACTERS]).casefold().replace("’", "'")


class TextEncoder(nn.Module):
    """Static hashed n-gram embeddings, summed over the root of their number. Track: texts, None where absent."""

    size = VECTOR

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(BUCKETS, VECTOR)
        nn.init.normal_(self.table.weight, std=0.02)
        self.out = nn.Linear(VECTOR, VECTOR)
        self.sparse = False  # sparse gradients of the table, while training
        self._words: dict[str, Word] = {}

    def prepare(self, track: Sequence[str | None]) -> Bags:
        """Clean, split and hash the texts."""
        words = [self.words(text) for text in track]
        return bags(words, [np.ones(len(w), np.float32) for w in words])

    def words(self, text: str | None) -> list[Word]:
        """The words of one text, from the cache where they were seen before."""
        return split(text, self._words)

    def forward(self, prepared: Bags) -> Encoded:
        """(n, 64) vectors."""
        summed = F.embedding_bag(
            prepared.ids,
            self.table.weight,
            prepared.offsets,
            mode="sum",
            sparse=self.sparse,
            per_sample_weights=prepared.trust.to(self.table.weight.dtype),
        )  # (n, 64)
        trusted = torch.zeros(len(prepared.offsets), device=summed.device)
        texts = torch.repeat_interleave(
            torch.arange(len(trusted), device=summed.device), prepared.counts, output_size=len(prepared.ids)
        )  # with its size a GPU need not be waited for
        trusted.index_add_(0, texts, prepared.trust.detach())
        present = prepared.counts > 0
        vector = torch.tanh(self.out(summed / trusted.clamp(min=1e-3).sqrt()[:, None])) * present[:, None]
        return Encoded(vector, present, present.float())


def split(text: str | None, known: dict[str, Word]) -> list[Word]:
    """The words of one text; `known` is a cache, emptied when it is full."""
    found: list[Word] = []
    for token in _WORD.findall(clean(text)) if text else ():
        word = known.get(token)
        if word is None:
            if len(known) >= _CACHE:
                known.clear()
            word = known[token] = hashed(token)
        found.append(word)
    return found


def hashed(token: str) -> Word:
    """Hash a word and, where it is long enough, its 4-grams."""
    own = xxhash.xxh3_64_intdigest(token.encode("utf-8", "surrogatepass"))
    ideograph = len(token) == 1 and not token.isascii()
    framed = f"<{token[:32]}>"
    grams = [framed[i : i + 4] for i in range(len(framed) - 3)] if len(token) > 2 else []
    ids = [own, *(xxhash.xxh3_64_intdigest(g.encode("utf-8", "surrogatepass"), 1) for g in grams)]
    return Word(own, np.array([i % BUCKETS for i in ids], np.int64).tobytes(), ideograph)


def bags(texts: Sequence[list[Word]], trust: Sequence[NDArray[np.float32]]) -> Bags:
    """Words, n-grams, pairs and (ideographs) triples of every text, with the trust of their words."""
    count = np.array([len(words) for words in texts], np.int64)
    flat = [word for words in texts for word in words]
    if not flat:
        zeros = torch.zeros(len(texts), dtype=torch.int64)
        return Bags(zeros[:0], torch.zeros(0), zeros, zeros)
    text = np.repeat(np.arange(len(texts)), count)
    own = np.array([word.hash for word in flat], np.uint64)
    sure = np.concatenate(trust).astype(np.float32, copy=False)
    grams = np.array([len(word.rows) for word in flat]) // np.dtype(np.int64).itemsize
    pair = text[1:] == text[:-1]
    pairs = own[:-1] * _PAIR + own[1:]
    ideograph = np.array([word.ideograph for word in flat], bool)
    triple = pair[1:] & pair[:-1] & ideograph[2:] & ideograph[1:-1] & ideograph[:-2]
    triples = pairs[:-1] * _PAIR + own[2:]
    ids = np.concatenate(
        [
            np.frombuffer(b"".join([word.rows for word in flat]), np.int64),
            (pairs[pair] >> np.uint64(40)) % np.uint64(BUCKETS),
            (triples[triple] >> np.uint64(40)) % np.uint64(BUCKETS),
        ]
    ).astype(np.int64)
    least = np.minimum(sure[1:], sure[:-1])
    belief = np.concatenate([np.repeat(sure, grams), least[pair], np.minimum(least[1:], least[:-1])[triple]])
    owner = np.concatenate([np.repeat(text, grams), text[1:][pair], text[2:][triple]])
    order = np.argsort(owner, kind="stable")
    sizes = np.bincount(owner, minlength=len(texts))
    return Bags(
        torch.from_numpy(ids[order]),
        torch.from_numpy(belief[order]),
        torch.from_numpy(np.cumsum(sizes) - sizes),
        torch.from_numpy(sizes.astype(np.int64)),
    )
