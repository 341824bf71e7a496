"""What a text means and how it is spelt, blended: a read-out of the pooled vectors of a frozen transformer, a logistic
regression on TF-IDF of n-grams, and another one over their logits, which also calibrates (stacking, Wolpert 1992)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from encoders.language.transformer import TransformerEncoder
from encoders.text import clean
from fusion.text_read_out import ReadOut

FOLDS = 3
_CHARACTERS_AT_ONCE = 8192
_LONGEST = 512


class Views(NamedTuple):
    """n texts, seen in each way."""

    spelling: NDArray[np.object_]  # (n,) cleaned
    meaning: NDArray[np.float32]  # (n, d)

    def take(self, index: NDArray[np.int64]) -> Views:
        """The chosen texts."""
        return Views(self.spelling[index], self.meaning[index])


class Verdict(NamedTuple):
    """Probabilities (n,) of yes: by each view alone and by the blend."""

    spelling: NDArray[np.float64]
    meaning: NDArray[np.float64]
    blend: NDArray[np.float64]


def views(texts: Sequence[str], encoder: TransformerEncoder, *, console: Console | None = None) -> Views:
    """Clean texts and their pooled vectors; texts of like length are read together."""
    spelling = np.empty(len(texts), object)
    spelling[:] = [clean(text).strip() for text in texts]
    length = np.array([min(len(text), _LONGEST) for text in spelling], np.int64)
    order = np.argsort(length, kind="stable")
    ends = np.flatnonzero(np.diff(np.cumsum(length[order] + 1) // _CHARACTERS_AT_ONCE)) + 1
    batches = np.split(order, ends)
    meaning = np.zeros((len(texts), encoder.bert.size), np.float32)
    with torch.inference_mode():
        for chosen in track(batches, "reading texts", console=console, transient=True) if console else batches:
            meaning[chosen] = encoder.pooled(encoder.prepare(spelling[chosen].tolist())).numpy()
    return Views(spelling, meaning)


class TextBlend:
    """Answers yes or no about texts."""

    def __init__(self, *, analyzer: str = "char", grams: tuple[int, int] = (1, 3), seed: int = 0) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        self.seed = seed
        self.forms: tuple[Any, Any] = (
            TfidfVectorizer(analyzer=analyzer, ngram_range=grams, sublinear_tf=True, min_df=2, dtype=np.float32),
            StandardScaler(),
        )
        self.views: tuple[Any, Any] = self._new()
        self.both: Any = LogisticRegression()

    def _new(self) -> tuple[Any, Any]:
        """A model of each view that has learned nothing."""
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=4, solver="liblinear", dual=True, random_state=self.seed), ReadOut(self.seed)

    def fit(self, seen: Views, label: NDArray[np.int64]) -> TextBlend:
        """Learn each view; from answers about thirds that it had not learned, how far to trust it."""
        from sklearn.model_selection import StratifiedKFold

        formed = [form.fit_transform(view) for form, view in zip(self.forms, seen, strict=True)]
        logits = np.zeros((len(label), len(formed)))
        for known, held in StratifiedKFold(FOLDS, shuffle=True, random_state=self.seed).split(label, label):
            for column, (model, view) in enumerate(zip(self._new(), formed, strict=True)):
                logits[held, column] = model.fit(view[known], label[known]).decision_function(view[held])
        self.both.fit(logits, label)
        for model, view in zip(self.views, formed, strict=True):
            model.fit(view, label)
        return self

    def verdict(self, seen: Views) -> Verdict:
        """What is thought of texts not seen before."""
        formed = [form.transform(view) for form, view in zip(self.forms, seen, strict=True)]
        logits = [model.decision_function(view) for model, view in zip(self.views, formed, strict=True)]
        spelling, meaning = (1 / (1 + np.exp(-each.clip(-50, 50))) for each in logits)
        return Verdict(spelling, meaning, self.both.predict_proba(np.stack(logits, 1))[:, 1])
