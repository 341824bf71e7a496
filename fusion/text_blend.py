"""What a text means and how it is spelt, blended: views that learn alone, and a logistic regression over their logits,
which also calibrates (stacking, Wolpert 1992). Grades (stars) help to learn and are not asked for later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from encoders.language.transformer import TransformerEncoder
from encoders.text import clean
from fusion.text_read_out import ReadOut
from fusion.text_spelling import Grams, Linear

FOLDS = 3
FEWEST = 20
_CHARACTERS_AT_ONCE = 8192
_LONGEST = 512


class Views(NamedTuple):
    """n texts, seen in each way."""

    fields: tuple[NDArray[np.object_], ...]  # (n,) each, cleaned: the whole texts, and their titles where they have any
    meaning: NDArray[np.float32]  # (n, d)

    def take(self, index: NDArray[np.int64]) -> Views:
        """The chosen texts."""
        return Views(tuple(field[index] for field in self.fields), self.meaning[index])


class Verdict(NamedTuple):
    """Probabilities (n,) of yes: by each view alone and by the blend."""

    alone: Mapping[str, NDArray[np.float64]]
    blend: NDArray[np.float64]


def views(
    texts: Sequence[str],
    encoder: TransformerEncoder,
    *,
    titles: Sequence[str] | None = None,
    console: Console | None = None,
) -> Views:
    """Clean texts and their pooled vectors; texts of like length are read together."""
    said = cleaned(texts)
    length = np.array([min(len(text), _LONGEST) for text in said], np.int64)
    order = np.argsort(length, kind="stable")
    ends = np.flatnonzero(np.diff(np.cumsum(length[order] + 1) // _CHARACTERS_AT_ONCE)) + 1
    batches = np.split(order, ends)
    meaning = np.zeros((len(texts), encoder.bert.size), np.float32)
    with torch.inference_mode():
        for chosen in track(batches, "reading texts", console=console, transient=True) if console else batches:
            meaning[chosen] = encoder.pooled(encoder.prepare(said[chosen].tolist())).numpy()
    return Views((said,) if titles is None else (said, cleaned(titles)), meaning)


def cleaned(texts: Sequence[str]) -> NDArray[np.object_]:
    """(n,) texts in the form that encoders know."""
    said = np.empty(len(texts), object)
    said[:] = [clean(text).strip() for text in texts]
    return said


class TextBlend:
    """Answers yes or no about texts."""

    def __init__(self, *, analyzer: str = "char", grams: tuple[int, int] = (1, 3), seed: int = 0) -> None:
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        self.seed = seed
        self.spelt: dict[str, Any] = {"analyzer": analyzer, "grams": grams}
        self.grams = Grams(**self.spelt)
        self.scale: Any = StandardScaler()
        self.views: dict[str, Any] = {}
        self.both: Any = LogisticRegression()

    def fit(self, seen: Views, label: NDArray[np.int64], grade: NDArray[np.float64] | None = None) -> TextBlend:
        """Learn each view; from answers about thirds that it had not learned, how far to trust it.

        With a grade (stars) the views learn too whether it is above each of its steps: the label with less noise.
        """
        from sklearn.model_selection import StratifiedKFold

        self.grams.fit(seen.fields)
        self.scale.fit(seen.meaning)
        formed, targets = self._formed(seen), asked(label, grade)
        logits = np.zeros((len(label), len(formed), targets.shape[1]))
        for known, held in StratifiedKFold(FOLDS, shuffle=True, random_state=self.seed).split(label, label):
            for column, (name, model) in enumerate(self._new().items()):
                model.fit(formed[name][known], targets[known])
                logits[held, column] = model.decision_function(formed[name][held])
        self.both.fit(logits.reshape(len(label), -1), label)
        self.views = {name: model.fit(formed[name], targets) for name, model in self._new().items()}
        return self

    def verdict(self, seen: Views) -> Verdict:
        """What is thought of texts not seen before."""
        formed = self._formed(seen)
        logits = [model.decision_function(formed[name]) for name, model in self.views.items()]  # (n, k) each
        alone = {name: 1 / (1 + np.exp(-z[:, 0].clip(-50, 50))) for name, z in zip(self.views, logits, strict=True)}
        return Verdict(alone, self.both.predict_proba(np.concatenate(logits, 1))[:, 1])

    def _new(self) -> dict[str, Any]:
        """A model of each view that has learned nothing."""
        return {"spelling": Linear(self.seed), "meaning": ReadOut(self.seed)}

    def _formed(self, seen: Views) -> dict[str, Any]:
        """What each model reads."""
        return {"spelling": self.grams.transform(seen.fields), "meaning": self.scale.transform(seen.meaning)}


def asked(label: NDArray[np.int64], grade: NDArray[np.float64] | None) -> NDArray[np.int64]:
    """(n, k): the label, then whether the grade is above each step that parts at least FEWEST texts from the rest."""
    steps = [] if grade is None else [(grade > step).astype(np.int64) for step in np.unique(grade)]
    return np.stack([label, *(step for step in steps if FEWEST <= step.sum() <= len(step) - FEWEST)], 1)
