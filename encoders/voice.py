"""Speech as a recogniser heard it: the text encoder, weighted by how sure the recogniser was."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from encoders.protocol import VECTOR, Encoded
from encoders.text import Bags, TextEncoder, Word, bags

UNKNOWN_CONFIDENCE = 0.8
"""What a transcript without a confidence counts as."""
_ODD = re.compile(r"<[^<>]{1,20}>|@@\w{1,20}@@|\s['’]\w")
_MARK = re.compile(r"<[^<>\s]{1,20}>|@@\w{1,20}@@")
_ENDING = re.compile(r"['’](?:s|t|d|m|re|ve|ll)", re.IGNORECASE)
_LOOSE_MARK = re.compile(r"<\s*([^<>\s]{1,16})\s*>")


class Utterances(NamedTuple):
    """n transcripts; None where absent."""

    text: Sequence[str | None]
    confidence: NDArray[np.float32]  # (n,) NaN absent
    word_confidence: Sequence[NDArray[np.float32] | None]  # one per word


class Heard(NamedTuple):
    """Transcripts ready for the device."""

    bags: Bags
    confidence: Tensor  # (n,) 0 where absent
    log_words: Tensor  # (n,)


class VoiceEncoder(nn.Module):
    """Token weights confidence^gamma over the shared text table, plus confidence and speaking length."""

    size = VECTOR

    def __init__(self, text: TextEncoder) -> None:
        super().__init__()
        self.text = text
        self.gamma = nn.Parameter(torch.ones(()))
        self.manner = nn.Linear(VECTOR + 2, VECTOR)
        nn.init.zeros_(self.manner.weight)
        nn.init.zeros_(self.manner.bias)

    def prepare(self, track: Utterances) -> Heard:
        """Words with the confidence of each; the transcript's where the words have none."""
        whole = np.nan_to_num(np.asarray(track.confidence, np.float32), nan=UNKNOWN_CONFIDENCE).clip(0.02, 1)
        said = [legible(*one) for one in zip(track.text, track.word_confidence, strict=True)]
        words = [self.text.words(text) for text, _ in said]
        trust = [
            word_trust(self.text, text, found, each, float(sure))
            for (text, each), found, sure in zip(said, words, whole, strict=True)
        ]
        spoken = np.array([len(found) for found in words], np.float32)
        mean = np.array([each.mean() if len(each) else 0 for each in trust], np.float32)
        return Heard(bags(words, trust), torch.from_numpy(mean), torch.from_numpy(np.log1p(spoken)))

    def forward(self, prepared: Heard) -> Encoded:
        """(n, 64) vectors in the text encoder's space."""
        weighted = prepared.bags._replace(trust=prepared.bags.trust**self.gamma)
        said = self.text(weighted)
        manner = torch.stack([prepared.confidence, prepared.log_words / 4], -1)
        shift = self.manner(torch.cat([said.vector, manner], -1))  # (n, 64)
        vector = (said.vector + shift) * said.present[:, None]
        return Encoded(vector, said.present, prepared.confidence * said.present)


def legible(text: str | None, each: NDArray[np.float32] | None) -> tuple[str | None, NDArray[np.float32] | None]:
    """Without a recogniser's marks for what it did not understand, its loose endings (today 's) joined again."""
    if text is None or not _ODD.search(text):
        return text, each
    spoken = _LOOSE_MARK.sub(r"<\1>", text).split()
    sure: list[float | None] = [None] * len(spoken) if each is None or len(each) != len(spoken) else each.tolist()
    kept: list[tuple[str, float | None]] = []
    for word, belief in zip(spoken, sure, strict=True):
        if _MARK.fullmatch(word):
            continue
        if kept and _ENDING.fullmatch(word):
            before, least = kept.pop()
            kept.append((before + word, None if belief is None or least is None else min(belief, least)))
        else:
            kept.append((word, belief))
    trusted = np.array([belief for _, belief in kept if belief is not None], np.float32)
    return " ".join(word for word, _ in kept), trusted if len(trusted) else each


def word_trust(
    text: TextEncoder,
    transcript: str | None,
    words: list[Word],
    each: NDArray[np.float32] | None,
    whole: float,
) -> NDArray[np.float32]:
    """The confidence of each encoder word: (len(words),)."""
    if each is None or transcript is None or not len(each):
        return np.full(len(words), whole, np.float32)
    each = np.nan_to_num(each, nan=whole).clip(0.02, 1).astype(np.float32)
    if len(each) == len(words):  # also Chinese, where each character is a word
        return each
    spoken = transcript.split()
    if len(spoken) != len(each):
        return np.full(len(words), each.mean(), np.float32)
    parts = [len(text.words(word)) for word in spoken]
    if sum(parts) != len(words):
        return np.full(len(words), whole, np.float32)
    return np.repeat(each, parts)
