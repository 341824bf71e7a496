"""`stream-app train`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from stream_app.cli.options import Broker, Config, DataDir


class Text(StrEnum):
    """How texts become vectors."""

    static = "static"
    recurrent = "recurrent"
    transformer = "transformer"
    multilingual = "multilingual"


class Fusion(StrEnum):
    """How slots become one vector."""

    gated = "gated"
    concat = "concat"


def train(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the artefact, its card and the curves.")],
    data: DataDir = None,
    from_topics: Annotated[
        bool, typer.Option("--from-topics", help="Learn from the recorded topics of a broker instead.")
    ] = False,
    broker: Broker = None,
    config: Config = None,
    fusion: Annotated[
        Fusion, typer.Option(help="gated, or concat: the encoders' vectors side by side, then dense layers.")
    ] = Fusion.gated,
    text: Annotated[
        Text, typer.Option(help="static: hashed words; recurrent: a GRU over them; the others: a frozen transformer.")
    ] = Text.static,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most so many over the sequences.")] = None,
    pretraining: Annotated[
        int | None, typer.Option(min=0, help="At most so many without labels first; 0 shows what they are worth.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small part, to see that it works: not to judge.")] = False,
    folds: Annotated[
        int, typer.Option(min=0, help="Cross-validation: later events of other users, so many times.")
    ] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after the last epoch of a killed training.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    seed: Annotated[int, typer.Option(help="The same seed and data give the same model on a CPU.")] = 0,
    encoders: Annotated[
        Path | None, typer.Option(help="An artefact whose words, voices and photos are taken, not learned anew.")
    ] = None,
    previous: Annotated[Path | None, typer.Option(help="An artefact whose segment ids are kept.")] = None,
) -> None:
    """Train the fused model from the simulator and the permissively licensed data sets, or from recorded topics.

    Words, voices and photos first; then what users did, without labels and with them; then calibration. The folder
    gets `fused.safetensors`, MODEL_CARD.md, curves.csv and a picture of each stage's loss.
    """
    from stream_app.settings import load
    from stream_app.training.run import Order
    from stream_app.training.run import train as fit

    settings = load(config, broker__url=broker)
    fit(
        Order(
            out,
            data=data or settings.test_data,
            topics=settings if from_topics else None,
            fusion=fusion.value,
            text=text.value,
            seed=seed,
            epochs=epochs,
            pretraining=pretraining,
            quick=quick,
            folds=folds,
            resume=resume,
            device=device,
            encoders=encoders,
            previous=previous,
        )
    )
