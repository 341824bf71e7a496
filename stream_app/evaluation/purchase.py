"""Will the session buy? Asked after every event before the purchase (`every_event`) and once, last of all (`at_cut`).

Boosting, logistic regression and our dense ensemble get the same table. `rees46` (any folder with `events.parquet`
in its layout) goes through the stream's own decode, admit and features; folds keep a user's events together.
`online_shoppers` (any folder with `sessions.parquet`) is one row per session, with and without `PageValues`, which a
live stream does not have. Figures are means over seeds, each with its own folds; intervals are 95 % over resampled
users (sessions there), for differences paired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress

from fusion.dense_ensemble import DenseEnsemble, DensePlan
from stream_app.errors import DependencyError, SettingsError
from stream_app.evaluation.draws import Floats, binary_draws, interval, resamples, together
from stream_app.evaluation.row import Row, Run
from stream_app.evaluation.session_table import Questions, questions_of
from stream_app.producers.sources.rees46 import rees46
from stream_app.producers.tables import existing, parquet_rows
from stream_app.training.examples import examples_of
from stream_app.training.logs import real

SUITE = "purchase"
EVENTS, SESSIONS = "events.parquet", "sessions.parquet"
EVENT_COLUMNS = (
    "event_time",
    "event_type",
    "product_id",
    "category_id",
    "category_code",
    "brand",
    "price",
    "user_id",
    "user_session",
)
LABEL, LATE = "Revenue", "PageValues"
DRAWS = 1000
FOLDS = 5
SESSION_FOLDS = 10

Table = NDArray[np.float32]
Learner = Callable[[Table, NDArray[np.float32], Table, int], Floats]
"""Learn from a table and labels, answer for another table; the last argument is the seed."""


class Asked(NamedTuple):
    """n yes-or-no questions; cases of one group are never split, nor drawn apart."""

    table: Table
    label: NDArray[np.float32]
    group: NDArray[np.int64]


def purchase(run: Run) -> Iterator[Row]:
    """Rows of every set that is there."""
    torch.set_num_threads(1)
    for name in [run.only] if run.only else ["rees46", "online_shoppers"]:
        if (run.data / name / EVENTS).is_file():
            yield from stream_rows(name, run)
        elif (run.data / name / SESSIONS).is_file():
            yield from session_rows(name, run)


def stream_rows(name: str, run: Run) -> Iterator[Row]:
    """Of a recorded stream."""
    checked(run, name, EVENTS, EVENT_COLUMNS)
    with run.console.status("Reading events"):
        questions = questions_of(examples_of(real(rees46(run.data, folder=name))))
    if run.quick:
        questions = fewer(questions, 4)
    asked = Asked(questions.table, questions.buys, questions.user)
    scores = answered(asked, run, folds=2 if run.quick else FOLDS, title=name)
    yield from rows_of(name, "every_event", asked, scores, run)
    cut = questions.last
    at_cut = Asked(asked.table[cut], asked.label[cut], asked.group[cut])
    yield from rows_of(name, "at_cut", at_cut, {key: [s[cut] for s in each] for key, each in scores.items()}, run)


def session_rows(name: str, run: Run) -> Iterator[Row]:
    """Of a table of sessions."""
    rows = checked(run, name, SESSIONS, (LABEL,))
    if run.quick:
        rows = rows[:1500]
    label = np.array([row[LABEL] for row in rows], np.float32)
    for part, without in (("with_page_values", ()), ("without_page_values", (LATE,))):
        asked = Asked(plain([leave_out(row, (LABEL, *without)) for row in rows]), label, np.arange(len(rows)))
        scores = answered(asked, run, folds=2 if run.quick else SESSION_FOLDS, title=f"{name} {part}")
        yield from rows_of(name, part, asked, scores, run)


def answered(asked: Asked, run: Run, *, folds: int, title: str) -> dict[str, list[Floats]]:
    """Per learner and seed its probabilities (n,) for cases whose groups it did not learn from."""
    from sklearn.model_selection import StratifiedGroupKFold

    seeds = 1 if run.quick else run.seeds
    scores = {name: [np.zeros(len(asked.label)) for _ in range(seeds)] for name in LEARNERS}
    with Progress(console=run.console, transient=True) as progress:
        task = progress.add_task(title, total=seeds * folds)
        for seed in range(seeds):
            split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
            for train, test in split.split(asked.table, asked.label, asked.group):
                for name, learner in LEARNERS.items():
                    known, wanted = asked.table[train], asked.label[train]
                    scores[name][seed][test] = learner(known, wanted, asked.table[test], seed)
                progress.advance(task)
    return scores


def rows_of(name: str, part: str, asked: Asked, scores: Mapping[str, Sequence[Floats]], run: Run) -> Iterator[Row]:
    """Every metric with all baselines, then what we gain over each of them."""
    weight = resamples(asked.group, 100 if run.quick else DRAWS)
    figures = {
        key: together([binary_draws(asked.label, score, weight) for score in each]) for key, each in scores.items()
    }
    ours = figures.pop("ours")
    for metric, value in ours.items():
        beside = {key: float(each[metric][0]) for key, each in figures.items()}
        yield Row(SUITE, name, f"{part}_{metric}", float(value[0]), interval(value), beside)
    for rival, figure in figures.items():
        if rival == "base_rate":
            continue
        for metric in ("auc", "log_loss"):
            gain = (ours[metric] - figure[metric]) * (-1 if metric == "log_loss" else 1)
            beside = {rival: float(figure[metric][0])}
            yield Row(SUITE, name, f"{part}_{metric}_gain_over_{rival}", float(gain[0]), interval(gain), beside)
    if run.pictures is not None:
        path = run.pictures / f"{SUITE}-{name}-{part}-reliability.png"
        draw(path, asked.label, {key: each[0] for key, each in scores.items()})


def ours(table: Table, label: NDArray[np.float32], unseen: Table, seed: int) -> Floats:
    """The dense ensemble."""
    return DenseEnsemble(DensePlan(seed=seed)).fit(table, label).score(unseen)


def boosting(table: Table, label: NDArray[np.float32], unseen: Table, seed: int) -> Floats:
    """Histogram gradient boosting as scikit-learn sets it."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return chance(HistGradientBoostingClassifier(random_state=seed).fit(table, label), unseen)


def boosting_tuned(table: Table, label: NDArray[np.float32], unseen: Table, seed: int) -> Floats:
    """The same, slower and smaller, as few positives want it."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        learning_rate=0.04, max_leaf_nodes=8, min_samples_leaf=60, l2_regularization=5.0, random_state=seed
    )
    return chance(model.fit(table, label), unseen)


def logistic(table: Table, label: NDArray[np.float32], unseen: Table, seed: int) -> Floats:
    """Logistic regression of standardised columns."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500, random_state=seed))
    return chance(model.fit(table, label), unseen)


def base_rate(table: Table, label: NDArray[np.float32], unseen: Table, seed: int) -> Floats:
    """Always the share of ones."""
    del table, seed
    return np.full(len(unseen), float(label.mean()))


LEARNERS: dict[str, Learner] = {
    "ours": ours,
    "gradient_boosting": boosting,
    "gradient_boosting_tuned": boosting_tuned,
    "logistic_regression": logistic,
    "base_rate": base_rate,
}


def chance(model: Any, unseen: Table) -> Floats:
    """(n,) of a fitted scikit-learn classifier."""
    score: Floats = model.predict_proba(unseen)[:, 1].astype(np.float64)
    return score


def checked(run: Run, name: str, file: str, columns: Sequence[str]) -> list[dict[str, Any]]:
    """All rows of a file that must have these columns. Raises SettingsError naming what is wrong."""
    try:
        rows = parquet_rows(run.data, f"{name}/{file}")
    except DependencyError:
        raise
    except Exception as error:  # pyarrow's errors share no parent with what a broken file raises
        raise SettingsError(f"{existing(run.data / name / file)} cannot be read: {error}") from None
    if not rows:
        raise SettingsError(f"{name}/{file} has no rows")
    if missing := set(columns) - set(rows[0]):
        raise SettingsError(f"{name}/{file} has no column {min(missing)!r}")
    return rows


def leave_out(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The row without these columns."""
    return {key: value for key, value in row.items() if key not in names}


def plain(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Numbers as they are and, where large, their logarithm; words and codes one column per value."""
    columns = []
    for name in rows[0]:
        values = [row[name] for row in rows]
        known = sorted(set(values), key=str)
        if isinstance(values[0], str) or (isinstance(values[0], int) and len(known) <= 20):
            columns += [np.array([value == each for value in values], np.float32) for each in known]
        if not isinstance(values[0], str):
            number = np.array(values, np.float32)
            columns += [number, np.log1p(number)] if number.min() >= 0 and number.max() > 20 else [number]
    return np.stack(columns, 1)


def fewer(questions: Questions, share: int) -> Questions:
    """One user in `share`."""
    keep = questions.user % share == 0
    return Questions(
        questions.table[keep], questions.names, questions.buys[keep], questions.user[keep], questions.last[keep]
    )


def draw(path: Path, label: NDArray[np.float32], scores: Mapping[str, Floats]) -> None:
    """What each model's probabilities mean, as a picture."""
    from matplotlib.figure import Figure
    from sklearn.calibration import calibration_curve

    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.add_subplot(title="Purchase", xlabel="said probability", ylabel="share that bought")
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--")
    for name, score in scores.items():
        did, said = calibration_curve(label, score, n_bins=10)
        axes.plot(said, did, marker="o", label=name)
    axes.legend()
    figure.savefig(path, dpi=120)
