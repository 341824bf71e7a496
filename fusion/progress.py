"""Progress of long work, alike for everything that reads or learns in steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")


def shown(steps: Sequence[T], what: str, console: Console | None) -> Iterable[T]:
    """The same steps, with a bar while they are gone through where there is a console."""
    return track(steps, what, console=console, transient=True) if console else steps
