"""`stream-app train`."""

from pathlib import Path
from typing import Annotated

import typer

from stream_app.cli.options import DataDir


def train(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the artefact, its card and the curves.")],
    data: DataDir = None,
    seed: Annotated[int, typer.Option(help="The same seed and data give the same model.")] = 0,
) -> None:
    """Train the fused model from the simulator and, where they are there, the permissively licensed data sets."""
    from stream_app.settings import load
    from stream_app.training import train as fit

    fit(out, data_dir=data or load().test_data, seed=seed)
