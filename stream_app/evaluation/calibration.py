"""Do the shipped model's probabilities mean what they say, whichever modalities a user has?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray

from fusion.checkpoint import load_checkpoint
from fusion.heads.protocol import MASKS, Head
from fusion.masks import name_of, shown
from fusion.material import Example
from fusion.model import FusedModel, Output
from fusion.scorer import ARTEFACT
from fusion.training import encoded, preparation
from fusion.training.calibration import BINARY
from stream_app.evaluation.draws import BINS, Floats, ece_draws, interval, resamples
from stream_app.evaluation.row import Row, Run
from stream_app.training.examples import examples_of
from stream_app.training.gathering import CUSTOMERS, FEW_CUSTOMERS, FEW_SHOPS, SHOPS, TESTED
from stream_app.training.logs import Log, cd_purchases, real, simulated
from stream_app.training.texts import share_of_users

SUITE = "calibration"
FEWEST = 300
"""Answers of a mask from which it is judged: with fewer, chance alone makes some error."""
TEST_SEED = 31
"""Where the seeds of the shops begin that no training has seen."""
DRAWS = 200
STRIDE = 32
"""Of the events, every so many-th is asked about with modalities hidden."""


class Answers(NamedTuple):
    """n probabilities of one head, and what happened."""

    score: Floats
    plain: Floats  # the same without the slopes and shifts of the masks
    label: NDArray[np.float32]  # NaN unknown
    user: NDArray[np.int64]
    mask: NDArray[np.int64]

    def take(self, chosen: NDArray[np.bool_]) -> Answers:
        """Some of them."""
        return Answers(*(column[chosen] for column in self))  # type: ignore[arg-type]  # all are arrays


@torch.no_grad()
def calibration(run: Run) -> Iterator[Row]:
    """Expected calibration error (15 bins) of each yes-or-no head, over all masks and of each mask that occurs.

    Of users whom the shipped model neither learned from nor was calibrated on: invented shops of other seeds, and
    three tenths of the users of each recorded set. `hidden` rows: modalities are taken from the same events until
    every one of the 15 masks occurs. Intervals: users resampled. Beside it: the same answers uncalibrated per mask.
    """
    torch.set_num_threads(1)
    model = load_checkpoint(ARTEFACT).model
    for name, examples in held_out(run):
        with run.console.status(f"Answering for {name}"):
            own, hidden = answered(model, examples, hide=name == "simulated")
        for head in BINARY:
            yield from rows_of(name, head, own[head], run)
            if head in hidden:
                yield from rows_of(f"{name}_hidden", head, hidden[head], run)


def held_out(run: Run) -> Iterator[tuple[str, list[Example]]]:
    """By set: the sequences of users of whom the model knows nothing."""
    if run.wants("simulated"):
        shops = FEW_SHOPS if run.quick else SHOPS
        logs = [
            simulated(users=users, days=days, activity=activity, seed=TEST_SEED + at)
            for at, (users, days, activity) in enumerate(shops)
        ]
        yield "simulated", [example for log in logs for example in examples_of(log)]
    for name in [run.only] if run.only else ["rees46", "cdnow"]:
        log = recorded(run, name)
        if log is not None:
            yield name, examples_of(log, chosen=share_of_users(log) < TESTED)


def recorded(run: Run, name: str) -> Log | None:
    """A folder in the layout of rees46 (`events.parquet`) or of cdnow (`purchases.parquet`); None where it is not."""
    from stream_app.producers.sources.rees46 import rees46

    if (run.data / name / "events.parquet").is_file():
        return real(rees46(run.data, folder=name))
    if (run.data / name / "purchases.parquet").is_file():
        return real(cd_purchases(run.data, customers=FEW_CUSTOMERS if run.quick else CUSTOMERS, folder=name))
    return None


def answered(
    model: FusedModel, examples: Sequence[Example], *, hide: bool
) -> tuple[dict[str, Answers], dict[str, Answers]]:
    """Per head the answers to all events, and to events from which modalities were hidden (none without `hide`)."""
    prepare = preparation(model)
    own: dict[str, list[Answers]] = {name: [] for name in BINARY}
    hidden: dict[str, list[Answers]] = {name: [] for name in BINARY}
    users = 0
    for example in examples:
        output = model(*encoded(model, prepare, example))
        user = torch.from_numpy(example.features.row + users)
        users += len(example.features.carried)
        every = torch.arange(len(example.features))
        for name, answers in answers_of(model, output, example, every, None, user).items():
            own[name].append(answers)
        for code in range(1, MASKS) if hide else ():
            for name, answers in answers_of(model, output, example, every[::STRIDE], code, user).items():
                hidden[name].append(answers)
    return joined(own), joined(hidden)


def answers_of(
    model: FusedModel,
    output: Output,
    example: Example,
    rows: torch.Tensor,
    code: int | None,
    user: torch.Tensor,
) -> dict[str, Answers]:
    """Of some events, as they are or with only the modalities of `code`."""
    fused = output.fused
    if code is not None:
        rows, fused = shown(model, output, code, rows)
    found: dict[str, Answers] = {}
    for name in BINARY:
        head = model.head(name)
        score, before = (each.columns(each(fused))["score"].double().numpy() for each in (head, plain(model, name)))
        label = getattr(example.outcomes, name)[rows.numpy()]
        found[name] = Answers(score, before, label, user[rows].numpy(), fused.mask.numpy())
    return found


def plain(model: FusedModel, name: str) -> Head:
    """A head as it was before its masks were calibrated."""
    head = deepcopy(model.heads[name])
    head.get_buffer("slope").fill_(1.0)
    head.get_buffer("shift").zero_()
    return cast(Head, head)


def joined(parts: Mapping[str, Sequence[Answers]]) -> dict[str, Answers]:
    """Of all examples."""
    return {name: Answers(*map(np.concatenate, zip(*each, strict=True))) for name, each in parts.items() if each}


def rows_of(name: str, head: str, answers: Answers, run: Run) -> Iterator[Row]:
    """Over all masks, then of each; nothing where fewer than FEWEST answers can be judged."""
    known = answers.take(~np.isnan(answers.label))
    if len(known.label) < FEWEST or known.label.min() == known.label.max():
        return
    codes, counts = np.unique(known.mask, return_counts=True)
    judged = {name_of(int(code)): known.mask == code for code in codes[counts >= FEWEST]}
    worst = 0.0
    for metric, chosen in {"all masks": known.mask >= 0, **judged}.items():
        some = known.take(chosen)
        weight = resamples(some.user, 20 if run.quick else DRAWS)
        error = ece_draws(some.label, some.score, weight)
        beside = {"uncalibrated": float(ece_draws(some.label, some.plain, weight[:1])[0]), "n": float(len(some.label))}
        yield Row(SUITE, name, f"{head} ece, {metric}", float(error[0]), interval(error), beside)
        worst = max(worst, float(error[0]))
    yield Row(SUITE, name, f"{head} ece, worst mask", worst)
    if run.pictures is not None:
        draw(run.pictures / f"{SUITE}-{name}-{head}.png", f"{head}, {name}", known, judged)


def draw(path: Path, title: str, answers: Answers, judged: Mapping[str, NDArray[np.bool_]]) -> None:
    """What happened against what was said, a line for each mask."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(title=title, xlabel="said", ylabel="happened", xlim=(0, 1), ylim=(0, 1))
    axes.plot((0, 1), (0, 1), color="grey", linestyle=":")
    for name, chosen in judged.items():
        score, label = answers.score[chosen], answers.label[chosen]
        place = np.minimum((score * BINS).astype(int), BINS - 1)
        count = np.bincount(place, minlength=BINS)
        filled = count >= 20
        said, happened = (np.bincount(place, value, BINS)[filled] / count[filled] for value in (score, label))
        axes.plot(said, happened, marker=".", label=name)
    axes.legend(fontsize="x-small")
    figure.savefig(path, dpi=100)
