"""Text as a sequence: word vectors through a GRU in both directions, any script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from encoders.protocol import VECTOR, Encoded
from encoders.text import Word, split

ROWS = 1 << 15
MAX_WORDS = 160


class Words(NamedTuple):
    """n texts as hashed words; each word is the sum of its own row and its n-grams'."""

    ids: Tensor  # (m,) int64 into the table
    starts: Tensor  # (w,) int64 where each word begins
    lengths: Tensor  # (n,) int64 words of each text; 0 = absent

    @property
    def counts(self) -> Tensor:
        """(n,) 0 where there is no text."""
        return self.lengths


class RecurrentEncoder(nn.Module):
    """A bidirectional GRU (Cho et al. 2014) over words or Chinese characters; the mean and the peak of its states."""

    size = VECTOR

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(ROWS, VECTOR)
        nn.init.normal_(self.table.weight, std=0.1)
        self.gru = nn.GRU(VECTOR, VECTOR, batch_first=True, bidirectional=True)
        self.out = nn.Linear(4 * VECTOR, VECTOR)
        self.dropout = nn.Dropout(0.3)
        self.sparse = False  # sparse gradients of the table, while training
        self._known: dict[str, Word] = {}

    def prepare(self, track: Sequence[str | None]) -> Words:
        """Clean, split and hash the texts; words after the first MAX_WORDS are not read."""
        words = [split(text, self._known)[:MAX_WORDS] for text in track]
        flat = [word.ids % ROWS for each in words for word in each]
        sizes = np.array([len(ids) for ids in flat], np.int64)
        return Words(
            torch.from_numpy(np.concatenate(flat) if flat else np.zeros(0, np.int64)),
            torch.from_numpy(np.cumsum(sizes) - sizes),
            torch.tensor([len(each) for each in words], dtype=torch.int64),
        )

    def forward(self, prepared: Words) -> Encoded:
        """(n, 64) vectors."""
        present = prepared.lengths > 0
        vector = self.table.weight.new_zeros(len(present), VECTOR)
        if bool(present.any()):
            vector = vector.index_put((present.nonzero()[:, 0],), self.read(prepared, prepared.lengths[present]))
        return Encoded(vector, present, present.float())

    def read(self, prepared: Words, lengths: Tensor) -> Tensor:
        """(m, 64) of the m texts that are there."""
        words = F.embedding_bag(
            prepared.ids, self.table.weight, prepared.starts, mode="sum", sparse=self.sparse
        )  # (w, 64)
        rows = nn.utils.rnn.pad_sequence(list(self.dropout(words).split(lengths.tolist())), batch_first=True)
        packed: PackedSequence = pack_padded_sequence(rows, lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True)  # (m, t, 128)
        real = torch.arange(states.shape[1], device=states.device)[None, :, None] < lengths[:, None, None]
        mean = (states * real).sum(1) / lengths[:, None]
        peak = states.masked_fill(~real, -1).amax(1)  # states lie within -1 and 1
        return torch.tanh(self.out(self.dropout(torch.cat([mean, peak], -1))))
