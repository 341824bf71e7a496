"""What is told of a training: progress on the screen, curves as CSV, losses as pictures."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Entry = tuple[str, int, str, float, float]
"""Stage, epoch, figure, value, elapsed seconds."""


@dataclass
class Journal:
    """Progress for people, and the curves in a folder: `curves.csv` and `loss-STAGE.png`."""

    folder: Path | None = None
    console: Console = field(default_factory=lambda: Console(stderr=True))
    rows: list[Entry] = field(default_factory=list)
    started_s: float = field(default_factory=time.perf_counter)

    def note(self, stage: str, epoch: int, **figures: float) -> None:
        """One epoch's figures."""
        elapsed_s = round(time.perf_counter() - self.started_s, 1)
        self.rows += [(stage, epoch, name, round(value, 5), elapsed_s) for name, value in figures.items()]
        told = "  ".join(f"{name} {value:.4f}" for name, value in figures.items())
        self.console.print(f"[bold]{stage}[/] {epoch}: {told}  ({elapsed_s:.0f} s)")
        if self.folder is not None:
            with (self.folder / "curves.csv").open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(("stage", "epoch", "figure", "value", "elapsed_s"))
                writer.writerows(self.rows)

    def steps(self, stage: str, batches: Sequence[Any], *, epoch: int, epochs: int) -> Iterator[Any]:
        """The batches of an epoch, with a bar that tells the time left for all epochs."""
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.console, transient=True) as progress:
            bar = progress.add_task(
                f"{stage} {epoch}/{epochs}", total=epochs * len(batches), completed=(epoch - 1) * len(batches)
            )
            for batch in batches:
                yield batch
                progress.advance(bar)

    def draw(self) -> None:
        """A picture of each stage's losses."""
        if self.folder is None:
            return
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        for stage in dict.fromkeys(row[0] for row in self.rows):
            figure = Figure(figsize=(6, 4), layout="constrained")
            FigureCanvasAgg(figure)
            axes = figure.add_subplot(title=stage, xlabel="epoch", ylabel="loss")
            for name in ("train_loss", "valid_loss"):
                points = [(epoch, value) for at, epoch, which, value, _ in self.rows if (at, which) == (stage, name)]
                if points:
                    axes.plot(*zip(*points, strict=True), marker="o", label=name.replace("_", " "))
            axes.legend()
            figure.savefig(self.folder / f"loss-{stage}.png", dpi=100)
