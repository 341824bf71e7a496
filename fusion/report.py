"""What a finished model can do, measured on what it never saw: figures by name, and the card that tells them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.table import Table

from fusion.evaluation import binary_report, choice_report
from fusion.material import NEUTRAL, Example, Photos, Texts
from fusion.model import FusedModel, Output
from fusion.recommender import ItemIndex
from fusion.retrieval import Retrieval
from fusion.training import encoded, feelings, preparation

Figures = dict[str, dict[str, float]]
TOP = 10


@dataclass(frozen=True)
class Browsing:
    """Sequences whose events from `since_ms` on are cases for an index that learned from those before."""

    index: ItemIndex
    examples: list[Example]
    since_ms: int


@dataclass(frozen=True)
class Unseen:
    """What no model here has learned from or been chosen by."""

    texts: Mapping[str, Texts]
    photos: tuple[Photos, Photos]  # the training photos, whose vectors are compared with; the test photos
    sequences: Mapping[str, list[Example]]
    browsing: Browsing | None


@torch.no_grad()
def measure(model: FusedModel, unseen: Unseen) -> Figures:
    """All figures of a model in evaluation mode."""
    figures: Figures = {}
    for name, texts in unseen.texts.items():
        figures[f"sentiment, {name}"] = sentiment_report(model, texts)
    if len(unseen.photos[1].data):
        figures["photo kind, fashion_products"] = photo_report(model, *unseen.photos)
    for name, examples in unseen.sequences.items():
        outputs = answers(model, examples)
        for head in ("purchase", "churn", "anomaly"):
            score = column(model, head, outputs, "score")
            label = np.concatenate([getattr(e.outcomes, head) for e in examples])
            known = ~np.isnan(label)
            if 0 < label[known].sum() < known.sum():
                figures[f"{head}, {name}"] = binary_report(label[known], score[known])
        label = np.concatenate([e.outcomes.next_action for e in examples])
        if (label >= 0).any():
            scores = column(model, "next_action", outputs, "scores")
            figures[f"next action, {name}"] = choice_report(label[label >= 0], scores[label >= 0])
    if unseen.browsing is not None:
        figures["next item, simulated"] = next_item_report(model, unseen.browsing)
    return figures


def sentiment_report(model: FusedModel, texts: Texts) -> dict[str, float]:
    """Of three feelings, and of good against bad alone."""
    known = texts.take(texts.sentiment >= 0)
    scores = feelings(model, known.text).numpy()
    figures = choice_report(known.sentiment, scores)
    clear = known.sentiment != NEUTRAL
    if clear.any():
        said = scores[clear, 2] > scores[clear, 0]
        figures["good_or_bad_accuracy"] = float((said == (known.sentiment[clear] == 2)).mean())
        share = float((known.sentiment[clear] == 2).mean())
        figures["base_good_or_bad_accuracy"] = max(share, 1 - share)
    return figures


def photo_report(model: FusedModel, known: Photos, test: Photos) -> dict[str, float]:
    """The kind of the nearest mean vector."""
    vectors = [model.image(model.image.prepare(p.data.tolist())).vector for p in (known, test)]
    kinds = int(known.kind.max()) + 1
    means = torch.zeros(kinds, vectors[0].shape[1]).index_add_(0, torch.from_numpy(known.kind), vectors[0])
    chosen = (vectors[1] @ F.normalize(means, dim=-1).T).argmax(1).numpy()
    return {
        "n": float(len(test.kind)),
        "accuracy": float((chosen == test.kind).mean()),
        "base_accuracy": float(np.bincount(test.kind).max() / len(test.kind)),
    }


def next_item_report(model: FusedModel, browsing: Browsing) -> dict[str, float]:
    """Share of the next items among ten recommended: ours, the index alone, the most popular."""
    prepare = preparation(model)
    retrieve = Retrieval(model.behavior.items, browsing.index)
    hits = np.zeros(3)
    count = repeats = 0
    popular = browsing.index.recommend(np.zeros((1, 1), np.uint64), TOP)[0][0]
    for example in browsing.examples:
        inputs, notes = prepare(example.features, images=False)
        output = model(inputs, model.encode(inputs))
        wanted = example.outcomes.next_item
        cases = np.flatnonzero((wanted != 0) & (example.features.event_time_ms >= browsing.since_ms))
        if not len(cases):
            continue
        recent = notes.recent_item[cases]
        rows = browsing.index.rows(wanted[cases])[:, None]
        category = example.features.category[cases]
        direction = output.raw["recommendations"][torch.from_numpy(cases)]
        ours = retrieve.rows(direction, recent, TOP, category=category)[0]
        alone = browsing.index.recommend(recent, TOP, category=category)[0]
        hits += [(found == rows)[rows[:, 0] >= 0].sum() for found in (ours, alone, popular[None])]
        repeats += int((recent == wanted[cases][:, None]).any(1).sum())
        count += len(cases)
    ours_hit, alone_hit, popular_hit = hits / max(count, 1)
    return {
        "n": float(count),
        "hit_at_10": ours_hit,
        "base_index_alone": alone_hit,
        "base_popular": popular_hit,
        "seen_among_last_10": repeats / max(count, 1),
    }


@torch.no_grad()
def both_sets(model: FusedModel, learned: Sequence[Example], unseen: Mapping[str, list[Example]]) -> Table:
    """Purchases on the events that were learned from and on those that were not: how much was learned by heart."""
    shown = Table("set", "n", "accuracy", "precision", "recall", "loss", title="Purchase in the rest of the session")
    sets = {"learned from": learned, "never seen": [example for part in unseen.values() for example in part]}
    for name, examples in sets.items():
        score = column(model, "purchase", answers(model, examples), "score")
        label = np.concatenate([example.outcomes.purchase for example in examples])
        figures = binary_report(label, score)
        shown.add_row(
            name,
            f"{figures['n']:.0f}",
            *(f"{figures[key]:.4f}" for key in ("accuracy", "precision", "recall", "log_loss")),
        )
    return shown


def answers(model: FusedModel, examples: Sequence[Example]) -> list[Output]:
    """The model's answers to every example."""
    prepare = preparation(model)
    return [model(*encoded(model, prepare, example)) for example in examples]


def column(model: FusedModel, head: str, outputs: Sequence[Output], name: str) -> NDArray[Any]:
    """One calibrated column of a head over all answers."""
    return np.concatenate([model.head(head).columns(output.raw[head])[name].numpy() for output in outputs])


def table(figures: Figures) -> Table:
    """For people: each figure with the baseline beside it."""
    shown = Table("what", "n", "figures", title="Held-out figures (baselines in brackets)")
    for name, values in figures.items():
        shown.add_row(name, f"{values['n']:.0f}", told(values))
    return shown


def told(values: Mapping[str, float]) -> str:
    """`accuracy .912 (.770), …`."""
    parts = []
    for key, value in values.items():
        if key == "n" or (key.startswith("base_") and key.removeprefix("base_") in values):
            continue
        base = values.get(f"base_{key}")
        parts.append(f"{key} {value:.3f}" + ("" if base is None else f" ({base:.3f})"))
    return ", ".join(parts)


def folds_table(figures: Figures, count: int) -> Table:
    """Means over folds with half of their 95 % intervals."""
    title = f"{count} folds: other users, later events; mean ± 95 %"
    shown = Table("what", "n", "figures", title=title)
    for name, values in figures.items():
        parts = [
            f"{key} {value:.3f} ± {values[f'{key}_within']:.3f}"
            for key, value in values.items()
            if f"{key}_within" in values
        ]
        shown.add_row(name, f"{values['n']:.0f}", ", ".join(parts))
    return shown
