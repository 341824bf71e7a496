"""What a text means, how it is spelt, how it reads in order and what is said of others like it, blended: views that
learn alone, and a logistic regression over their answers (stacking, Wolpert 1992). Grades (stars) help to learn and are
not asked for later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from encoders.language.bert import Bert
from encoders.language.transformer import Tokens, TransformerEncoder, mean
from encoders.text import clean
from fusion.progress import shown
from fusion.text_convolution import LONGEST, Convolution, States, characters
from fusion.text_neighbours import Neighbours
from fusion.text_read_out import ReadOut
from fusion.text_spelling import Grams, Linear
from fusion.text_tuning import Read, Tuned

PARTS, TURNS = 8, 4
"""Into how many parts that which is learned from is cut, and how many of them are held out, one in each turn."""
FEWEST = 20
MODELS: dict[str, Callable[[int], Any]] = {
    "spelling": Linear,
    "meaning": ReadOut,
    "order": Convolution,
    "characters": Convolution,
    "tuned": Tuned,
    "spelt alike": Neighbours,
    "meant alike": Neighbours,
}
_CHARACTERS_AT_ONCE = 8192


class Views(NamedTuple):
    """n texts, seen in each way."""

    fields: tuple[NDArray[np.object_], ...]  # (n,) each, cleaned: the whole texts, and their titles where they have any
    meaning: NDArray[np.float32]  # (n, d)
    order: States | None = None

    def take(self, index: NDArray[np.int64]) -> Views:
        """The chosen texts."""
        order = None if self.order is None else self.order[index]
        return Views(tuple(field[index] for field in self.fields), self.meaning[index], order)


class Verdict(NamedTuple):
    """Probabilities (n,) of yes: by each view alone (of neighbours' votes only the side of 1/2 tells) and the blend."""

    alone: Mapping[str, NDArray[np.float64]]
    blend: NDArray[np.float64]


def views(
    texts: Sequence[str],
    encoder: TransformerEncoder,
    *,
    titles: Sequence[str] | None = None,
    order: int | None = None,
    console: Console | None = None,
) -> Views:
    """Clean texts and their pooled vectors; texts of like length are read together.

    `order` is the layer whose states of each token are kept too: 0 for the first of those that the encoder reads.
    """
    said = cleaned(texts)
    length = np.array([min(len(text), LONGEST) for text in said], np.int64)
    sorted_ = np.argsort(length, kind="stable")
    ends = np.flatnonzero(np.diff(np.cumsum(length[sorted_] + 1) // _CHARACTERS_AT_ONCE)) + 1
    batches = np.split(sorted_, ends)
    meaning = np.zeros((len(texts), encoder.bert.size), np.float32)
    kept: list[tuple[NDArray[np.int64], Tokens, NDArray[np.float16]]] = []
    with torch.inference_mode():
        for chosen in shown(batches, "reading texts", console):
            tokens = encoder.prepare(said[chosen].tolist())
            if order is None:
                meaning[chosen] = encoder.pooled(tokens).cpu().numpy()
            else:
                hidden = encoder.hidden(tokens)
                meaning[chosen] = mean(hidden, tokens.real).numpy()
                layer = hidden[..., order * encoder.bert.width :][..., : encoder.bert.width]
                kept.append((chosen, tokens, layer[tokens.real].half().numpy()))
    fields = (said,) if titles is None else (said, cleaned(titles))
    return Views(fields, meaning, joined(kept, len(texts)) if kept else None)


def cleaned(texts: Sequence[str]) -> NDArray[np.object_]:
    """(n,) texts in the form that encoders know."""
    said = np.empty(len(texts), object)
    said[:] = [clean(text).strip() for text in texts]
    return said


def joined(parts: Sequence[tuple[NDArray[np.int64], Tokens, NDArray[np.float16]]], count: int) -> States:
    """The tokens of batches, each with the numbers of its texts, behind one another."""
    length = np.zeros(count, np.int64)
    for chosen, tokens, _ in parts:
        length[chosen] = tokens.counts
    read = np.concatenate([chosen for chosen, _, _ in parts])
    end = np.empty(count, np.int64)
    end[read] = np.cumsum(length[read])
    ids = torch.cat([tokens.ids[tokens.real] for _, tokens, _ in parts]).numpy()
    return States(np.concatenate([hidden for _, _, hidden in parts]), ids, end - length, end)


class TextBlend:
    """Answers yes or no about texts."""

    def __init__(
        self,
        *,
        analyzer: str = "char",
        grams: tuple[int, int] = (1, 3),
        tuned: tuple[Bert, int] | None = None,
        seed: int = 0,
    ) -> None:
        """`tuned`: the model whose states of each token are given, and of which layer; it learns from there on, in the
        place of convolutions over them."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        self.seed = seed
        self.tuned = tuned
        self.spelt: dict[str, Any] = {"analyzer": analyzer, "grams": grams}
        self.grams = Grams(**self.spelt)
        self.scale: Any = StandardScaler()
        self.members: dict[str, list[Any]] = {}
        self.both: Any = LogisticRegression(max_iter=1_000)

    def fit(
        self,
        seen: Views,
        label: NDArray[np.int64],
        grade: NDArray[np.float64] | None = None,
        *,
        console: Console | None = None,
    ) -> TextBlend:
        """Learn each view on all but a part, and from its answers about that part how far to trust it; all are kept.

        With a grade (stars) the views learn too whether it is above each of its steps: the label with less noise.
        """
        from sklearn.model_selection import StratifiedKFold

        self.grams.fit(seen.fields)
        self.scale.fit(seen.meaning)
        formed, targets = self._formed(seen), asked(label, grade)
        logits: list[NDArray[np.float64]] = []
        self.members = {name: [] for name in formed}
        split = StratifiedKFold(PARTS, shuffle=True, random_state=self.seed).split(label, label)
        parts = [*split][:TURNS]
        for number, (known, held) in enumerate(shown(parts, "learning, in turns", console)):
            for name, view in formed.items():
                self.members[name].append(MODELS[name](self.seed + number).fit(view[known], targets[known]))
            logits.append(
                np.concatenate([self.members[name][-1].decision_function(formed[name][held]) for name in formed], 1)
            )
        self.both.fit(np.concatenate(logits), label[np.concatenate([held for _, held in parts])])
        return self

    def verdict(self, seen: Views) -> Verdict:
        """What is thought of texts not seen before: each view's mean logit."""
        logits = {
            name: np.mean([model.decision_function(view) for model in self.members[name]], 0)  # (n, k)
            for name, view in self._formed(seen).items()
        }
        alone = {name: 1 / (1 + np.exp(-each[:, 0].clip(-50, 50))) for name, each in logits.items()}
        return Verdict(alone, self.both.predict_proba(np.concatenate([*logits.values()], 1))[:, 1])

    def _formed(self, seen: Views) -> dict[str, Any]:
        """What the models of each view read."""
        spelt, meant = self.grams.transform(seen.fields), self.scale.transform(seen.meaning)
        formed = {"spelling": spelt, "meaning": meant, "spelt alike": spelt, "meant alike": meant}
        if seen.order is not None and self.tuned is not None:
            formed["tuned"] = Read(seen.order, *self.tuned)
        elif seen.order is not None:
            formed["order"] = seen.order
            if self.spelt["analyzer"] == "char":
                formed["characters"] = characters(seen.fields[0].tolist())
        return formed


def asked(label: NDArray[np.int64], grade: NDArray[np.float64] | None) -> NDArray[np.int64]:
    """(n, k): the label, then whether the grade is above each step that parts at least FEWEST texts from the rest."""
    steps = [] if grade is None else [(grade > step).astype(np.int64) for step in np.unique(grade)]
    return np.stack([label, *(step for step in steps if FEWEST <= step.sum() <= len(step) - FEWEST)], 1)
