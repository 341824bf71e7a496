"""Cross-validation: learn from some users' past, answer for other users' future."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student  # type: ignore[import-untyped]

from fusion.material import Example, Material
from fusion.model import FusedModel, ModelConfig
from fusion.report import Figures, Unseen, measure
from fusion.training import Journal, Plan
from fusion.training import train as fit
from stream_app.errors import DependencyError
from stream_app.events.hashing import hash64
from stream_app.training.examples import examples_of
from stream_app.training.logs import Log
from stream_app.training.photos import no_photos
from stream_app.training.texts import share_of_users

Fold = tuple[list[Example], list[Example], list[Example]]
"""To learn from, to choose by, to test."""


def folds(logs: Sequence[Log], count: int) -> Iterator[Fold]:
    """Fold k of K tests users of group k in the (k+1)-th of K+1 spans of time, after learning from all other users'
    earlier spans; a tenth of those is chosen by. Later events are not even counted as outcomes while learning.
    """
    for k in range(count):
        parts: Fold = ([], [], [])
        for log in logs:
            group, time_ms = user_groups(log), log.events.event_time_ms
            cut_ms, end_ms = (int(np.quantile(time_ms, (k + at) / (count + 1))) for at in (1, 2))
            past, mine = log.take(time_ms < cut_ms, end_ms=cut_ms), group % count == k
            future = log.take((time_ms < end_ms) & mine, end_ms=end_ms)
            valid = share_of_users(past) == 0
            others = ~mine[time_ms < cut_ms]
            for part, examples in zip(
                parts,
                (
                    examples_of(past, chosen=others & ~valid),
                    examples_of(past, chosen=others & valid),
                    examples_of(future, since_ms=cut_ms),
                ),
                strict=True,
            ):
                part.extend(examples)
        yield parts


def user_groups(log: Log) -> NDArray[np.int64]:
    """(n,) a number per user, as if drawn, the same in every log."""
    return np.array([hash64(user.decode()) % 1_000_003 for user in log.events.user], np.int64)


def cross_validate(
    material: Material,
    logs: Sequence[Log],
    config: ModelConfig,
    *,
    count: int,
    plan: Plan,
    journal: Journal,
    encoders: FusedModel,
) -> Figures:
    """Per head and figure the mean over the folds, with half of its 95 % interval as `…_within` (Student's t).

    Raises DependencyError where a fold would have nothing to learn from, to choose by or to test.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for number, (learned, valid, test) in enumerate(folds(logs, count), 1):
        if not (learned and valid and test):
            raise DependencyError(f"too few users and events for {count} folds: fold {number} has a part without any")
        journal.console.print(f"[bold]fold {number} of {count}[/]")
        own = replace(material, sequences=learned, sequences_valid=valid)
        model = fit(own, config, plan=plan, journal=Journal(console=journal.console), encoders=encoders)
        unseen = Unseen({}, (no_photos(), no_photos()), {"later": test}, None)
        for head, values in measure(model, unseen).items():
            for name, value in values.items():
                found.setdefault(head, {}).setdefault(name, []).append(value)
    return {head: summary(values) for head, values in found.items()}


def summary(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Means; with two folds or more their intervals; the number of cases as a sum."""
    figures: dict[str, float] = {}
    for name, each in values.items():
        known = np.array(each)[~np.isnan(each)]
        if name == "n":
            figures[name] = float(known.sum())
        elif len(known):
            figures[name] = float(known.mean())
            if len(known) > 1 and not name.startswith("base_"):
                error = known.std(ddof=1) / len(known) ** 0.5
                figures[f"{name}_within"] = float(student.ppf(0.975, len(known) - 1) * error)
    return figures
