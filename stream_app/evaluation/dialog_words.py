"""Words of dialogs as vectors that nobody has to learn from so few dialogs: word statistics and a sentence encoder."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from encoders.language.transformer import PACKAGES, TransformerEncoder
from encoders.text import clean

BATCH = 64
TOPICS = 192
FADE = 0.6
"""What a turn's words still count one turn later."""
TOKENS = 32
SPREAD = 0.12
Vectors = NDArray[np.float32]


def sentence_vectors(texts: Sequence[str]) -> Vectors | None:
    """(n, 384) of the pre-trained MiniLM sentence encoder, None where the extra `minilm` is not installed."""
    if importlib.util.find_spec(PACKAGES["minilm"][0]) is None:
        return None
    encoder = TransformerEncoder("minilm")
    order = np.argsort([len(text) for text in texts], kind="stable")
    vectors = np.zeros((len(texts), encoder.bert.width), np.float32)
    for at in range(0, len(order), BATCH):
        rows = order[at : at + BATCH]
        vectors[rows] = F.normalize(encoder.pooled(encoder.prepare([texts[i] for i in rows])), dim=-1).numpy()
    return vectors


def topic_vectors(texts: Sequence[str], learned: NDArray[np.int64], *, seed: int) -> Vectors:
    """(n, <= 192) latent semantic analysis (Deerwester et al. 1990) of words and word pairs, fitted to `learned`."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    counter = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    try:
        counts = counter.fit_transform([texts[i] for i in learned])
        topics = TruncatedSVD(min(TOPICS, counts.shape[1], len(learned)), random_state=seed)
        with np.errstate(invalid="ignore"):  # who always says the same has no variance to explain
            topics.fit(counts)
    except ValueError:  # too few words are said twice
        return np.zeros((len(texts), 1), np.float32)
    vectors: Vectors = topics.transform(counter.transform(texts)).astype(np.float32)
    return vectors


def so_far(vectors: Vectors, turn: NDArray[np.int64]) -> Tensor:
    """(n, k) everything said in the dialog up to each turn, fading; whatever its source, its values spread alike."""
    faded = vectors.copy()
    for at in range(1, len(faded)):
        if turn[at]:
            faded[at] += FADE * faded[at - 1]
    return torch.from_numpy(faded * (SPREAD / max(float(faded.std()), 1e-6)))


def last_tokens(
    said: Sequence[str], answered: Sequence[str], turn: NDArray[np.int64], learned: NDArray[np.int64]
) -> tuple[Tensor, int]:
    """(n, 32) ids of the last words of the dialog up to each turn, padded on the left, and how many ids there are.

    Words that `learned` turns use only once, or never, are id 1.
    """
    words = [[*clean(a).split(), "|", *clean(b).split(), "|"] for a, b in zip(said, answered, strict=True)]
    count = Counter(word for at in learned for word in words[at])
    ids = {word: number for number, word in enumerate((w for w, c in count.items() if c > 1), 2)}
    table = np.zeros((len(words), TOKENS), np.int64)
    dialog: list[int] = []
    for at, line in enumerate(words):
        dialog = (dialog if turn[at] else []) + [ids.get(word, 1) for word in line]
        dialog = dialog[-TOKENS:]
        table[at, TOKENS - len(dialog) :] = dialog
    return torch.from_numpy(table), len(ids) + 2
