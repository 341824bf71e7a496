"""One run of `stream-app train`: gather, learn, store, measure as it is stored, and tell."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
import torch

from encoders.device import device_of
from fusion.card import model_card
from fusion.checkpoint import load_checkpoint, save_checkpoint
from fusion.model import FusedModel, ModelConfig
from fusion.report import Figures, both_sets, folds_table, measure, table
from fusion.scorer import ARTEFACT
from fusion.training import QUICK, Journal, Plan, Saved
from fusion.training import train as fit
from stream_app.errors import DependencyError
from stream_app.events import ACTIONS
from stream_app.settings import Settings
from stream_app.training.examples import CHURN_HORIZON_S, size_of
from stream_app.training.folds import cross_validate
from stream_app.training.gathering import Gathered, data_sets, recorded_stream
from stream_app.training.logs import HISTORY
from stream_app.training.topics import recorded

VERSION = "1.1.1"
SAVED = "training.safetensors"
ASKED = ("fusion", "text", "seed", "epochs", "pretraining")
"""Options of which the card tells, where they were given."""


@dataclass(frozen=True)
class Order:
    """What the user asked for."""

    out: Path
    """Folder for the artefact, its card and the curves."""
    data: Path | None = None
    """Folder of data sets."""
    topics: Settings | None = None
    """Whose recorded topics to learn from instead."""
    fusion: str = "gated"
    text: str = "static"
    seed: int = 0
    epochs: int | None = None
    pretraining: int | None = None
    quick: bool = False
    folds: int = 0
    resume: bool = False
    device: str = "auto"
    encoders: Path | None = None
    """An artefact whose words, voices and photos are taken instead of learned anew."""
    previous: Path | None = None
    """An artefact whose segment ids are kept."""

    @property
    def plan(self) -> Plan:
        """For the training itself."""
        plan = QUICK if self.quick else Plan()
        given = {"epochs": self.epochs, "pretraining_epochs": self.pretraining}
        chosen = {name: value for name, value in given.items() if value is not None}
        return replace(plan, seed=self.seed, device=device_of(self.device).type, **chosen)

    @property
    def command(self) -> str:
        """What makes the same again, but for folders and what is as usual."""
        usual = Order(self.out)
        words = ["stream-app train --out DIR", "--data DIR" if self.topics is None else "--from-topics"]
        words += [f"--{name} {getattr(self, name)}" for name in ASKED if getattr(self, name) != getattr(usual, name)]
        words += [f"--{name} FILE" for name in ("encoders", "previous") if getattr(self, name) is not None]
        return " ".join([*words, "--quick"] if self.quick else words)


def train(order: Order) -> Figures:
    """Make the artefact `fused.safetensors`, its card, curves and pictures; prints and returns what it can do.

    From recorded topics only behaviour, fusion and their heads are learned: words and photos are known from before.
    Raises DependencyError where there is nothing to learn from.
    """
    torch.set_num_threads(1)
    order.out.mkdir(parents=True, exist_ok=True)
    journal = Journal(order.out)
    given = gathered(order, journal)
    config = ModelConfig(
        version=VERSION,
        actions=ACTIONS,
        history=HISTORY,
        churn_horizon_s=CHURN_HORIZON_S,
        fusion=order.fusion,
        text=order.text,
    )
    previous = load_checkpoint(order.previous).model if order.previous is not None else None
    known = load_checkpoint(order.encoders).model if order.encoders is not None else None
    if known is None and order.topics is not None:
        known = previous or load_checkpoint(ARTEFACT).model
    saved = Saved(order.out / SAVED, resume=order.resume)
    model = fit(
        given.material, config, plan=order.plan, journal=journal, saved=saved, encoders=known, previous=previous
    )
    digest = save_checkpoint(model, order.out / ARTEFACT.name)
    model = load_checkpoint(order.out / ARTEFACT.name).model  # measured as it is stored
    figures = measure(model, given.unseen)
    learned = size_of(given.material.sequences)
    card = model_card(
        model.config,
        figures,
        digest=digest,
        texts=given.material.texts,
        events=learned,
        command=order.command,
        recorded=order.topics is not None,
    )
    (order.out / "MODEL_CARD.md").write_text(card, "utf-8")
    journal.console.print(table(figures))
    journal.console.print(both_sets(model, given.material.sequences, given.unseen.sequences))
    if order.folds:
        figures |= validated(order, given, config, journal, model)
    return figures


def gathered(order: Order, journal: Journal) -> Gathered:
    """From where the order says."""
    if order.topics is not None:
        journal.console.print("Reading the recorded topics ...")
        with journal.console.status("reading") as status:
            counts: dict[str, int] = {}

            def told(topic: str, records: int) -> None:
                counts[topic] = counts.get(topic, 0) + records
                status.update(f"{topic}: {counts[topic]:,} records")

            return recorded_stream(asyncio.run(recorded(order.topics, told=told)))
    if order.data is None:
        raise DependencyError("training needs the data folder: name it with --data or STREAM_APP_TEST_DATA")
    journal.console.print("Reading texts, photos and event streams; simulating shoppers ...")
    return data_sets(order.data, seed=order.seed, quick=order.quick)


def validated(order: Order, given: Gathered, config: ModelConfig, journal: Journal, model: FusedModel) -> Figures:
    """Cross-validation with the encoders of the finished model, whose texts and photos are no events."""
    figures = cross_validate(
        given.material, given.logs, config, count=order.folds, plan=order.plan, journal=journal, encoders=model
    )
    (order.out / "folds.json").write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))
    journal.console.print(folds_table(figures, order.folds))
    return {f"{name}, {order.folds} folds": values for name, values in figures.items()}
