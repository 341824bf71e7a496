"""Pictures of the fusion suite: confusion of the next action, and what the cart's probabilities mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fusion.dialog_model import Answers
from stream_app.evaluation.simmc import Simmc

BINS = 10


def draw(stem: Path, data: Simmc, given: Mapping[str, Answers]) -> None:
    """`<stem>-confusion.png` of the gated model and `<stem>-reliability.png` of every variant in `given`."""
    from matplotlib.figure import Figure
    from sklearn.metrics import ConfusionMatrixDisplay

    known = data.spoken.next_action >= 0
    confusion = Figure(figsize=(7, 6), layout="constrained")
    ConfusionMatrixDisplay.from_predictions(
        data.spoken.next_action[known],
        given["gated"].action[known].argmax(1),
        labels=np.arange(len(data.actions)),
        display_labels=data.actions,
        normalize="true",
        values_format=".2f",
        xticks_rotation=30,
        ax=confusion.add_subplot(title="Next action, gated fusion: share of each true action"),
        colorbar=False,
    )
    confusion.savefig(stem.with_name(f"{stem.name}-confusion.png"), dpi=120)
    reliability = Figure(figsize=(6, 6), layout="constrained")
    axes = reliability.add_subplot(
        title="Add-to-cart one turn ahead", xlabel="said probability", ylabel="share that did"
    )
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--")
    for name, each in given.items():
        place = np.minimum((each.cart * BINS).astype(int), BINS - 1)
        count = np.bincount(place, minlength=BINS)
        said, did = (np.bincount(place, value, BINS)[count > 0] for value in (each.cart, data.spoken.cart))
        axes.plot(said / count[count > 0], did / count[count > 0], marker="o", label=name)
    axes.legend()
    reliability.savefig(stem.with_name(f"{stem.name}-reliability.png"), dpi=120)
