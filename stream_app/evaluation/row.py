"""What a suite says: one figure with its uncertainty and what it must be compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console


@dataclass(frozen=True)
class Row:
    """One figure of one data set."""

    suite: str
    set: str
    metric: str
    ours: float
    interval: tuple[float, float] | None = None
    """95 % over seeds, folds or resampled cases, as the suite says."""
    baselines: Mapping[str, float] = field(default_factory=dict)
    """The same metric of what it must be compared with, trivial answers among them."""

    def document(self) -> dict[str, Any]:
        """As JSON values; a figure that could not be taken is null."""
        return asdict(self)


@dataclass(frozen=True)
class Run:
    """What the user asked a suite for."""

    data: Path
    """Folder of data sets."""
    only: str | None = None
    """One data set of the suite instead of all that are there."""
    seeds: int = 3
    quick: bool = False
    """A small part of the data and of the training: to see that it works, not to judge."""
    pictures: Path | None = None
    """Folder for reliability plots, confusion matrices and curves."""
    console: Console = field(default_factory=lambda: Console(stderr=True))
    """For progress."""

    def wants(self, name: str) -> bool:
        """Whether this data set was asked for."""
        return self.only in (None, name)


Suite = Callable[[Run], Iterator[Row]]
"""Gives its rows as they are ready."""
