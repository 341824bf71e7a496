"""Do behaviour and words together know more than either: next action and add-to-cart of shopping dialogs.

After every turn, what the next turn brings is asked; nothing of that turn is seen. Dialogs are split into five
folds; dialogs without words (another file) teach every variant alike how dialogs go on. Words are word statistics of
the training turns and, where the extra `minilm` is installed, a pre-trained sentence encoder; the worked example
(`concat`) learns its own embedding and LSTM. Figures are means over seeds of the pooled folds; intervals are 95 % over
resampled dialogs, for differences paired.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress

from fusion.dialog_behavior import BehaviorPlan, learn_behavior
from fusion.dialog_model import (
    HIDE_BEHAVIOR,
    HIDE_NOTHING,
    HIDE_TEXT,
    VARIANTS,
    Answers,
    DialogPlan,
    Sizes,
    answers,
    learn_dialogs,
)
from fusion.dialogs import Dialogs
from stream_app.evaluation.dialog_cases import Sentences, cases_of, words_of
from stream_app.evaluation.dialog_words import sentence_vectors
from stream_app.evaluation.draws import Draws, Floats, binary_draws, choice_draws, interval, resamples, together
from stream_app.evaluation.row import Row, Run
from stream_app.evaluation.simmc import SPOKEN, Simmc, simmc

SUITE = "fusion"
FOLDS = 5
DRAWS = 1000
HIDDEN = {"": HIDE_NOTHING, "text": HIDE_TEXT, "behavior": HIDE_BEHAVIOR}
MISSING = (25, 50, 75)
"""Per cent of the cases from which a modality is taken away, for the robustness curve."""
RANKING = {"next_action": "auc_macro", "cart": "auc"}

Given = dict[tuple[str, str], list[Answers]]
"""Per variant and hidden modality the answers of each seed."""


def fusion(run: Run) -> Iterator[Row]:
    """Rows of `simmc`, or of any folder in its layout."""
    name = run.only or "simmc"
    if not (run.data / name / SPOKEN).is_file():
        return
    torch.set_num_threads(1)
    data = simmc(run.data / name)
    if run.quick:
        data = replace(data, spoken=first(data.spoken, 120), silent=first(data.silent, 500))
    given, trivial = answered(data, run)
    for task in RANKING:
        yield from task_rows(name, task, data, given, trivial, run)
    if run.pictures is not None:
        from stream_app.evaluation.dialog_pictures import draw

        draw(run.pictures / f"{SUITE}-{name}", data, {variant: given[variant, ""][0] for variant in VARIANTS})


def answered(data: Simmc, run: Run) -> tuple[Given, dict[str, Answers]]:
    """What every variant says of turns that it did not learn from, and two answers that read no words at all."""
    spoken, n, folds = data.spoken, len(data.spoken), 2 if run.quick else FOLDS
    share = np.random.default_rng(0).permutation(int(spoken.dialog[-1]) + 1)[spoken.dialog] % folds
    sentences = Sentences(None, None) if run.quick else sentences_of(spoken, run)
    words = [words_of(spoken, sentences, np.flatnonzero(share != fold)) for fold in range(folds)]
    trivial = {name: empty(n, len(data.actions)) for name in ("last_action", "base_rate")}
    for fold in range(folds):
        for name, kinds in (("last_action", True), ("base_rate", False)):
            put(trivial[name], share == fold, table_answers(data, share != fold, share == fold, by_kind=kinds))
    seeds = 1 if run.quick else run.seeds
    given: Given = {(v, h): [empty(n, len(data.actions)) for _ in range(seeds)] for v in VARIANTS for h in HIDDEN}
    with Progress(console=run.console, transient=True) as progress:
        task = progress.add_task("fusion", total=seeds * folds * len(VARIANTS))
        for seed in range(seeds):
            plan = BehaviorPlan(seed=seed, dialogs=16 if run.quick else BehaviorPlan.dialogs)
            encoder = learn_behavior(data.silent, kinds=len(data.kinds), actions=len(data.actions), plan=plan)
            for fold, read in enumerate(words):
                cases = cases_of(spoken, encoder, read, kinds=len(data.kinds))
                silent = cases_of(data.silent, encoder, read, kinds=len(data.kinds), silent=True)
                train, test = (torch.from_numpy(np.flatnonzero(m)) for m in (share != fold, share == fold))
                sizes = Sizes.of(cases, actions=len(data.actions), vocabulary=read.vocabulary)
                for name, variant in VARIANTS.items():
                    learn = DialogPlan(seed=seed, dialogs=16 if run.quick else DialogPlan.dialogs)
                    model = learn_dialogs(cases.take(train), silent, sizes, variant=variant, plan=learn)
                    for hidden, mask in HIDDEN.items():
                        shown = mask if variant.sees == HIDE_NOTHING else variant.sees
                        put(given[name, hidden][seed], test.numpy(), answers(model, cases.take(test), shown))
                    progress.advance(task)
    return given, trivial


def task_rows(
    name: str, task: str, data: Simmc, given: Given, trivial: Mapping[str, Answers], run: Run
) -> Iterator[Row]:
    """All rows of one question."""
    spoken, ranking = data.spoken, RANKING[task]
    asked = spoken.next_action >= 0 if task == "next_action" else np.ones(len(spoken), bool)
    weight = resamples(spoken.dialog[asked], 100 if run.quick else DRAWS)

    def drawn(each: Answers) -> Draws:
        if task == "cart":
            return binary_draws(spoken.cart[asked], each.cart[asked], weight)
        return choice_draws(spoken.next_action[asked], each.action[asked], weight)

    figures = {key: together([drawn(each) for each in seeds]) for key, seeds in given.items()}
    simple = {key: drawn(each) for key, each in trivial.items()}
    ours = figures["gated", ""]
    rivals = {variant: figures[variant, ""] for variant in VARIANTS if variant != "gated"}

    def row(metric: str, value: Floats, **beside: Floats) -> Row:
        baselines = {key: float(each[0]) for key, each in beside.items()}
        return Row(SUITE, name, f"{task}_{metric}", float(value[0]), interval(value), baselines)

    for metric, value in ours.items():
        yield row(metric, value, **{key: each[metric] for key, each in {**rivals, **simple}.items()})
    for rival, figure in rivals.items():
        yield row(f"{ranking}_over_{rival}", ours[ranking] - figure[ranking], **{rival: figure[ranking]})
    for hidden, left in (("text", "behavior"), ("behavior", "text")):
        for metric in (ranking, "ece"):
            yield row(
                f"{metric}_without_{hidden}",
                figures["gated", hidden][metric],
                **{f"{left}_alone": figures[left, ""][metric], "with_both": ours[metric]},
                **{rival: figures[rival, hidden][metric] for rival in ("concat", "concat_same_encoders")},
            )
        for percent in MISSING:
            gone = np.random.default_rng(percent).random(len(spoken)) < percent / 100
            partly = {
                variant: together(
                    [drawn(mixed(*pair, gone)) for pair in zip(given[variant, ""], given[variant, hidden], strict=True)]
                )
                for variant in ("gated", "concat", "concat_same_encoders")
            }
            value = partly.pop("gated")[ranking]
            yield row(f"{ranking}_{hidden}_missing_{percent}", value, **{k: v[ranking] for k, v in partly.items()})


def first(dialogs: Dialogs, count: int) -> Dialogs:
    """The first dialogs."""
    keep = dialogs.dialog < count
    return Dialogs(**{name: column[keep] for name, column in vars(dialogs).items()})


def sentences_of(dialogs: Dialogs, run: Run) -> Sentences:
    """Of both speakers; says so where there is no sentence encoder."""
    with run.console.status("Reading sentences"):
        said = sentence_vectors(dialogs.said.tolist())
        answered = sentence_vectors(dialogs.answered.tolist())
    if said is None:
        run.console.print("Without the extra `minilm`, words are word statistics alone: all variants know less.")
    return Sentences(said, answered)


def table_answers(data: Simmc, train: NDArray[np.bool_], test: NDArray[np.bool_], *, by_kind: bool) -> Answers:
    """How often each action followed the last one (or, without `by_kind`, followed at all), one added to each."""
    kind = np.concatenate([data.spoken.kind[train], data.silent.kind]) * by_kind
    after = np.concatenate([data.spoken.next_action[train], data.silent.next_action])
    cart = np.concatenate([data.spoken.cart[train], data.silent.cart]) > 0
    action = np.ones((len(data.kinds) + 1, len(data.actions)))
    np.add.at(action, (kind[after >= 0], after[after >= 0]), 1)
    carts = np.ones((len(data.kinds) + 1, 2))
    np.add.at(carts, (kind, cart.astype(int)), 1)
    at = data.spoken.kind[test] * by_kind
    return Answers((action / action.sum(1, keepdims=True))[at], (carts[:, 1] / carts.sum(1))[at])


def empty(n: int, actions: int) -> Answers:
    """To be filled fold by fold."""
    return Answers(np.zeros((n, actions)), np.zeros(n))


def put(answers: Answers, rows: NDArray[np.int64] | NDArray[np.bool_], part: Answers) -> None:
    """Fill in these rows."""
    for whole, piece in zip(answers, part, strict=True):
        whole[rows] = piece


def mixed(full: Answers, partial: Answers, gone: NDArray[np.bool_]) -> Answers:
    """What is said where a modality is missing from some of the cases."""
    return Answers(
        np.where(gone[:, None], partial.action, full.action),
        np.where(gone, partial.cart, full.cart),
    )
