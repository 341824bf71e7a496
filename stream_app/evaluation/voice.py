"""Spoken commands: learned from true words, asked about what a real recogniser heard."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from encoders.voice import Utterances
from fusion.evaluation import choice_report
from fusion.noise import Recogniser
from fusion.spoken import SpokenModel, SpokenPlan, learn_spoken, unsure
from stream_app.errors import DependencyError, SettingsError
from stream_app.evaluation.resampling import mean_interval
from stream_app.evaluation.row import Row, Run

TRUE_WORDS, HEARD_WORDS = "devel.jsonl.gz", "asr_pairs.jsonl.gz"
PUBLISHED = {"scenario": 0.8569, "intent": 0.7833}
"""SLURP's own pipeline (Bastianelli et al. 2020) on `slurp`. Not the same terms as ours: it learned from the whole
training set of 11,514 sentences and more, ours from the 2,033 of `devel`; it was asked about the whole test set, ours
about half of it."""
ERROR_RATES = (0.0, 0.2, 0.4, 0.6, float("inf"))
SIMULATED_RATE = 0.2


@dataclass(frozen=True)
class Commands:
    """n recordings or sentences. `intent` is scenario and action."""

    sentence: NDArray[np.object_]
    true: NDArray[np.object_]
    heard: NDArray[np.object_]  # the true words again, where nothing was recorded
    scenario: NDArray[np.object_]
    intent: NDArray[np.object_]
    error_rate: NDArray[np.float64]  # of the words

    def __len__(self) -> int:
        return len(self.true)

    def take(self, index: NDArray[Any]) -> Commands:
        """Some of them."""
        return Commands(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Asked:
    """One question of all models: probabilities (seeds, n, answers) and the true answers."""

    label: NDArray[np.int64]
    scores: NDArray[np.float32]

    def right(self) -> NDArray[np.float64]:
        """(n,) share of the seeds that were right."""
        share: NDArray[np.float64] = (self.scores.argmax(-1) == self.label).mean(0)
        return share

    def figures(self) -> dict[str, float]:
        """Mean over the seeds."""
        reports = [choice_report(self.label, scores) for scores in self.scores]
        return {name: float(np.mean([report[name] for report in reports])) for name in reports[0]}


def voice(run: Run) -> Iterator[Row]:
    """Learned from `devel` through a simulated recogniser, asked about `asr_pairs`, the true words beside it.

    Intervals are over sentences drawn anew (all recordings of one together) of the mean over the seeds. The published
    figures come from another protocol (see PUBLISHED): they are there for orientation. The data has no confidences, so
    what weighting by them gives is measured on simulated recordings. Settings were chosen inside `devel`.
    """
    torch.set_num_threads(1)  # the batches are too small to share
    name = run.only or "slurp"
    folder = run.data / name
    if all((folder / file).is_file() for file in (TRUE_WORDS, HEARD_WORDS)):
        yield from judged(run, name, folder)


def judged(run: Run, name: str, folder: Path) -> Iterator[Row]:
    """All rows of one folder."""
    learn, test = true_words(folder / TRUE_WORDS), heard_words(folder / HEARD_WORDS)
    plan = SpokenPlan()
    if run.quick:
        rng = np.random.default_rng(0)
        learn, test = (part.take(rng.permutation(len(part))[:most]) for part, most in ((learn, 600), (test, 1500)))
        plan = replace(plan, epochs=9, batch=16)
    questions = {"scenario": (learn.scenario, test.scenario), "intent": (learn.intent, test.intent)}
    numbers = {q: {a: i for i, a in enumerate(np.unique(known))} for q, (known, _) in questions.items()}
    learned = {q: np.array([numbers[q][a] for a in known]) for q, (known, _) in questions.items()}
    # An answer that was never learned gets a number that no model gives.
    truth = {q: np.array([numbers[q].get(a, len(numbers[q])) for a in asked]) for q, (_, asked) in questions.items()}
    seeds = range(1 if run.quick else run.seeds)
    models = {
        noise: [taught(run, learn, learned, replace(plan, noise=noise, seed=seed)) for seed in seeds]
        for noise in (True, False)
    }
    run.console.print("[bold]voice[/] TF-IDF and logistic regression")
    known = {q: tfidf(learn.true, learned[q], (test.true, test.heard), truth[q]) for q in questions}
    for question in questions:
        clean = ask(models[True], question, unsure(test.true.tolist()), truth[question])
        real = ask(models[True], question, unsure(test.heard.tolist()), truth[question])
        plain = ask(models[False], question, unsure(test.heard.tolist()), truth[question])
        plain_clean = ask(models[False], question, unsure(test.true.tolist()), truth[question])
        common = float((truth[question] == np.bincount(learned[question]).argmax()).mean())
        tfidf_clean, tfidf_heard = known[question]
        published = {"published_slurp_pipeline": PUBLISHED[question]} if name == "slurp" else {}
        yield row(
            name, f"{question} accuracy, recogniser", real.right(), test.sentence,
            {"majority": common, "tfidf_lr": tfidf_heard.mean(), "without_noise": plain.right().mean(), **published},
        )  # fmt: skip
        yield row(
            name, f"{question} accuracy, true words", clean.right(), test.sentence,
            {"majority": common, "tfidf_lr": tfidf_clean.mean(), "without_noise": plain_clean.right().mean()},
        )  # fmt: skip
        yield row(
            name, f"{question} gap", clean.right() - real.right(), test.sentence,
            {"tfidf_lr": tfidf_clean.mean() - tfidf_heard.mean(),
             "without_noise": plain_clean.right().mean() - plain.right().mean()},
        )  # fmt: skip
        figures, beside = real.figures(), clean.figures()
        for measure in ("f1_macro", "log_loss", "ece"):
            baselines = {"true_words": beside[measure], "without_noise": plain.figures()[measure]}
            yield Row("voice", name, f"{question} {measure}, recogniser", figures[measure], None, baselines)
        lines = {"ours": real.right(), "ours, true words": clean.right(), "TF-IDF + LR": tfidf_heard}
        curve: dict[str, list[float]] = {line: [] for line in lines}
        for label, chosen in buckets(test.error_rate):
            for line, right in lines.items():
                curve[line].append(float(right[chosen].mean()) if chosen.any() else float("nan"))
            if chosen.any():
                baselines = {"true_words": curve["ours, true words"][-1], "tfidf_lr": curve["TF-IDF + LR"][-1],
                             "without_noise": float(plain.right()[chosen].mean()),
                             "share_of_recordings": float(chosen.mean())}  # fmt: skip
                metric = f"{question} accuracy, word error rate {label}"
                yield row(name, metric, real.right()[chosen], test.sentence[chosen], baselines)
        if run.pictures is not None:
            labels = [label for label, _ in buckets(test.error_rate)]
            draw_curve(run.pictures / f"voice-{name}-{question}-error-rate.png", labels, curve, question)
            kinds = [str(a) for a in numbers[question]]
            if len(kinds) <= 30:
                draw_confusion(run.pictures / f"voice-{name}-{question}-confusion.png", real, kinds)
    yield from confidence_rows(name, learn, test, models[True], truth["scenario"])


def confidence_rows(
    name: str, learn: Commands, test: Commands, models: Sequence[SpokenModel], truth: NDArray[np.int64]
) -> Iterator[Row]:
    """The true test words through the simulated recogniser, whose confidences are heeded or not."""
    recordings = Recogniser(learn.true.tolist())(test.true.tolist(), np.random.default_rng(7), rate=SIMULATED_RATE)
    heeded = ask(models, "scenario", recordings, truth).right()
    ignored = ask(models, "scenario", unsure(recordings.text), truth).right()
    metric = f"scenario accuracy, simulated word error rate {SIMULATED_RATE}"
    yield row(name, metric, heeded, test.sentence, {"without_confidence": ignored.mean()})
    yield row(name, f"gain by confidence, simulated word error rate {SIMULATED_RATE}", heeded - ignored, test.sentence)


def row(
    name: str, metric: str, right: NDArray[np.float64], sentence: NDArray[Any], baselines: Mapping[str, float] = {}
) -> Row:
    """A mean over recordings."""
    beside = {key: float(value) for key, value in baselines.items()}
    return Row("voice", name, metric, float(right.mean()), mean_interval(right, sentence), beside)


def taught(run: Run, learn: Commands, labels: Mapping[str, NDArray[np.int64]], plan: SpokenPlan) -> SpokenModel:
    """One model, with a progress bar."""
    from rich.progress import Progress

    with Progress(console=run.console, transient=True) as progress:
        task = progress.add_task(f"voice, seed {plan.seed}{'' if plan.noise else ', without noise'}", total=plan.epochs)
        return learn_spoken(learn.true.tolist(), labels, plan=plan, done=lambda: progress.advance(task))


def ask(models: Sequence[SpokenModel], question: str, track: Utterances, label: NDArray[np.int64]) -> Asked:
    """Every model about every recording; a last answer is for what nobody learned."""
    scores = np.stack([model.answer(track)[question] for model in models])
    return Asked(label, np.pad(scores, ((0, 0), (0, 0), (0, 1))))


def tfidf(
    texts: NDArray[np.object_], labels: NDArray[np.int64], tests: Sequence[NDArray[np.object_]], truth: NDArray[Any]
) -> list[NDArray[np.float64]]:
    """For each way the test was written, where logistic regression on characters' TF-IDF is right."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    seen = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2)
    model = make_pipeline(seen, LogisticRegression(C=10, max_iter=1000, tol=1e-3)).fit(texts, labels)
    return [(model.predict(test) == truth).astype(np.float64) for test in tests]


def buckets(error_rate: NDArray[np.float64]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Named ranges of the word error rate and who is in them: none wrong, up to a fifth, and so on."""
    yield "0", error_rate <= 0
    for low, high in pairwise(ERROR_RATES):
        label = f"over {low:.1f}" if np.isinf(high) else f"{low:.1f}–{high:.1f}"
        yield label, (error_rate > low) & (error_rate <= high)


def draw_curve(path: Path, labels: Sequence[str], curve: Mapping[str, Sequence[float]], question: str) -> None:
    """Accuracy over the word error rate."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, values in curve.items():
        axes.plot(range(len(labels)), values, marker="o", label=name)
    axes.set(xticks=range(len(labels)), xticklabels=labels, ylim=(0, 1))
    axes.set(xlabel="word error rate of the recording", ylabel=f"{question} accuracy")
    axes.legend()
    figure.savefig(path, dpi=120)


def draw_confusion(path: Path, asked: Asked, kinds: Sequence[str]) -> None:
    """Shares of the answers given (columns) to each true one (rows)."""
    from matplotlib.figure import Figure

    matrix = np.zeros((len(kinds), len(kinds)))
    for scores in asked.scores:
        known = asked.label < len(kinds)
        np.add.at(matrix, (asked.label[known], scores[known, :-1].argmax(-1)), 1)
    figure = Figure(figsize=(8, 7), layout="constrained")
    axes = figure.subplots()
    shown = axes.imshow(matrix / matrix.sum(1, keepdims=True).clip(min=1), vmin=0, vmax=1, cmap="Blues")
    axes.set(xticks=range(len(kinds)), yticks=range(len(kinds)), yticklabels=kinds, xlabel="answered", ylabel="true")
    axes.set_xticks(range(len(kinds)), kinds, rotation=90)
    figure.colorbar(shown)
    figure.savefig(path, dpi=120)


def true_words(path: Path) -> Commands:
    """Sentences to learn from."""
    lines = records(path, ("sentence", "scenario", "action"))
    true = column(lines, "sentence")
    return Commands(true, true, true, column(lines, "scenario"), intents(lines), np.zeros(len(lines)))


def heard_words(path: Path) -> Commands:
    """Recordings with what was said and what was heard."""
    lines = records(path, ("slurp_id", "ref", "asr", "wer", "scenario", "action"))
    sentence = np.array([str(line["slurp_id"]) for line in lines], object)
    try:
        wrong = np.array([float(line["wer"]) for line in lines])
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{path}: column wer: {error}") from error
    return Commands(
        sentence, column(lines, "ref"), column(lines, "asr"), column(lines, "scenario"), intents(lines), wrong
    )


def column(lines: Sequence[dict[str, Any]], name: str) -> NDArray[np.object_]:
    """As text."""
    return np.array([str(line[name]) for line in lines], object)


def intents(lines: Sequence[dict[str, Any]]) -> NDArray[np.object_]:
    """Scenario and action: the file of recordings has no intent of its own."""
    return np.array([f"{line['scenario']}_{line['action']}" for line in lines], object)


def records(path: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The JSON lines of a file, all with these columns."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            lines = [msgspec.json.decode(line, type=dict[str, Any]) for line in file if line.strip()]
    except (OSError, EOFError, UnicodeDecodeError, msgspec.MsgspecError) as error:
        raise DependencyError(f"{path}: cannot be read: {error}") from error
    missing = {name for line in lines for name in columns if name not in line}
    if missing or not lines:
        raise SettingsError(f"{path}: {'no column ' + min(missing) if missing else 'no rows'}")
    return lines
