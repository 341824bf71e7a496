"""What the suites about texts share: labelled texts, splits by chance, every measure beside the baselines, pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from encoders.device import device_of, quick_precision
from encoders.language.transformer import TransformerEncoder
from encoders.text import clean
from fusion.evaluation import binary_report
from fusion.text_blend import TextBlend, Views, views
from fusion.text_spelling import Grams, Linear
from stream_app.errors import DependencyError, SettingsError
from stream_app.evaluation.row import Row, Run
from stream_app.producers.tables import parquet_rows

METRICS = ("accuracy", "precision", "recall", "f1", "auc", "log_loss", "ece")
TEST_SHARE = 0.2
_QUICK = 400
_FEWEST = 20
_BINS = 10
_BLANK = "\ufeff \n"
_T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Student's t at 97.5 % with 1 to 9 degrees of freedom."""


@dataclass(frozen=True)
class Labelled:
    """Distinct texts with a yes (1) or no (0)."""

    name: str
    texts: Sequence[str]
    label: NDArray[np.int64]
    titles: Sequence[str] | None = None
    """Where a text has one, which stands in the text too."""
    grade: NDArray[np.float64] | None = None
    """Stars of each text: learned from, never read."""

    def take(self, index: NDArray[np.int64]) -> Labelled:
        """The chosen texts."""
        titles = None if self.titles is None else [self.titles[i] for i in index]
        grade = None if self.grade is None else self.grade[index]
        return Labelled(self.name, [self.texts[i] for i in index], self.label[index], titles, grade)


def table(path: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of a parquet file that has these columns. Raises SettingsError naming the one that it lacks."""
    try:
        rows = parquet_rows(path.parent, path.name)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: no readable parquet file: {error}") from error
    if rows and (missing := [name for name in columns if name not in rows[0]]):
        raise SettingsError(f"{path}: no column {missing[0]!r}; this suite reads {', '.join(columns)}")
    return rows


def distinct(
    name: str,
    pairs: Sequence[tuple[str, Any]],
    *,
    column: str,
    titles: Sequence[str] | None = None,
    grade: Sequence[float] | None = None,
) -> Labelled:
    """Texts that say something, each once: of those that are equal when clean, the first. Label in `column`."""
    first: dict[str, int] = {}
    for row, (text, label) in enumerate(pairs):
        if label not in (0, 1):
            raise SettingsError(f"{name}: column {column!r} holds {label!r}; only 0 and 1 are read")
        if key := clean(text).strip(_BLANK):
            first.setdefault(key, row)
    labels = np.array([int(label) for _, label in pairs], np.int64)
    texts = [text.strip(_BLANK) for text, _ in pairs]
    chosen = np.array([*first.values()], np.int64)
    data = Labelled(name, texts, labels, titles, None if grade is None else np.array(grade, np.float64)).take(chosen)
    if min(data.label.sum(), len(data.label) - data.label.sum()) < _FEWEST:
        raise SettingsError(f"{name}: {column!r} needs at least {_FEWEST} texts of either kind")
    return data


def reader(kind: type[TransformerEncoder]) -> TransformerEncoder:
    """The frozen model that reads the texts, on a GPU where there is one. Raises DependencyError where its package is
    absent."""
    device = device_of()
    try:
        return kind(precision=quick_precision() if device.type == "cpu" else torch.float32).to(device)
    except ModuleNotFoundError as error:
        raise DependencyError(str(error)) from None


def measured(
    run: Run,
    suite: str,
    data: Labelled,
    kinds: Sequence[type[TransformerEncoder]],
    blend: Mapping[str, Any],
    *,
    order: int,
    tuned: bool = False,
) -> Iterator[Row]:
    """The rows of one data set: means over as many splits as seeds.

    `kinds`: who reads, the first of them token by token, `order` as for `views`; `tuned`: its layers above that one
    learn too.
    """
    if run.quick:
        data = _part(data)
    encoder, *also = map(reader, kinds)
    if tuned:
        blend = {**blend, "tuned": (encoder.bert, encoder.layers[order])}
    seen = views(data.texts, encoder, titles=data.titles, order=order, console=run.console)
    more = [views(data.texts, other, console=run.console).meaning for other in also]
    seen = seen._replace(meaning=np.concatenate([seen.meaning, *more], 1))
    reports: list[dict[str, dict[str, float]]] = []
    for seed in range(run.seeds):
        test, train = split(data.label, seed)
        run.console.print(f"{data.name}, split {seed + 1} of {run.seeds}: {len(train)} to learn, {len(test)} to judge")
        answers = answered(seen, data, train, test, TextBlend(**blend, seed=seed), run.console)
        reports.append({name: binary_report(data.label[test], each) for name, each in answers.items()})
        if run.pictures is not None and seed == 0:
            draw(run.pictures / f"{suite}-{data.name}", data.label[test], answers)
    for metric in METRICS:
        found = {name: np.array([report[name][metric] for report in reports]) for name in reports[0]}
        ours = found.pop("ours")
        others = {name: float(values.mean()) for name, values in found.items()}
        yield Row(suite, data.name, metric, float(ours.mean()), spread(ours), others)


def answered(
    seen: Views,
    data: Labelled,
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    blend: TextBlend,
    console: Console,
) -> dict[str, NDArray[np.float64]]:
    """Probabilities of yes for the texts to judge: ours, the transformer's view alone, and what knows less."""
    label = data.label[train]
    blend.fit(seen.take(train), label, None if data.grade is None else data.grade[train], console=console)
    verdict = blend.verdict(seen.take(test))
    share = np.full(len(test), label.mean())
    plain = tfidf(seen.fields[0][train], label, seen.fields[0][test], blend)
    return {"ours": verdict.blend, "majority": share, "tfidf_lr": plain, "transformer": verdict.alone["meaning"]}


def tfidf(
    known: NDArray[np.object_], label: NDArray[np.int64], unknown: NDArray[np.object_], blend: TextBlend
) -> NDArray[np.float64]:
    """The baseline: a logistic regression on the n-grams of the whole texts, which learns from the label alone."""
    grams = Grams(**blend.spelt).fit((known,))
    model = Linear(blend.seed).fit(grams.transform((known,)), label[:, None])
    return 1 / (1 + np.exp(-model.decision_function(grams.transform((unknown,)))[:, 0]))


def split(label: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A fifth by chance to judge, the rest to learn."""
    order = np.random.default_rng(seed).permutation(len(label))
    test, train = np.split(order, [int(len(label) * TEST_SHARE)])
    return test, train


def spread(values: NDArray[np.float64]) -> tuple[float, float] | None:
    """95 % of the mean over splits, by Student's t; None for a single one."""
    if len(values) < 2:
        return None
    half = _T_975[min(len(values) - 1, len(_T_975)) - 1] * values.std(ddof=1) / len(values) ** 0.5
    return float(values.mean() - half), float(values.mean() + half)


def draw(stem: Path, label: NDArray[np.int64], answers: Mapping[str, NDArray[np.float64]]) -> None:
    """`<stem>-confusion.png`, `<stem>-reliability.png` and `<stem>-roc.png` of the first split."""
    from matplotlib.figure import Figure
    from sklearn.calibration import CalibrationDisplay
    from sklearn.metrics import ConfusionMatrixDisplay, RocCurveDisplay

    pages = {name: Figure(figsize=(5, 5), layout="constrained") for name in ("confusion", "reliability", "roc")}
    axes = {name: page.add_subplot(title=f"{stem.name}: {name}") for name, page in pages.items()}
    ConfusionMatrixDisplay.from_predictions(label, answers["ours"] >= 0.5, ax=axes["confusion"], colorbar=False)
    for name, score in answers.items():
        if name != "majority":
            CalibrationDisplay.from_predictions(label, score, n_bins=_BINS, name=name, ax=axes["reliability"])
            RocCurveDisplay.from_predictions(label, score, name=name, ax=axes["roc"])
    for name, page in pages.items():
        page.savefig(stem.with_name(f"{stem.name}-{name}.png"), dpi=120)


def _part(data: Labelled) -> Labelled:
    """A few texts by chance."""
    return data.take(np.random.default_rng(0).permutation(len(data.texts))[:_QUICK])
