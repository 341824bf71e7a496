"""Rows for people: a table for each data set, what must be compared with a figure under one another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from stream_app.evaluation.row import Row


def tables(rows: Iterable[Row]) -> Iterator[Table]:
    """One for each suite and set, as soon as its last row is there."""
    for (suite, name), group in groupby(rows, key=lambda row: (row.suite, row.set)):
        shown = Table(
            title=f"{suite} · {name}", title_justify="left", expand=True, box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
        )
        shown.add_column("metric", ratio=2, overflow="fold")
        shown.add_column("ours", justify="right", no_wrap=True)
        shown.add_column("95 %", justify="center", no_wrap=True)
        shown.add_column("beside it", ratio=3, overflow="fold")
        for row in group:
            interval = "" if row.interval is None else "{:.3g} – {:.3g}".format(*row.interval)
            shown.add_row(row.metric.replace("_", " "), f"[bold]{row.ours:.4g}[/]", interval, beside(row))
        yield shown


def beside(row: Row) -> Text:
    """The baselines, each on a line of its own."""
    lines = (f"{value:>7.4g} {name.replace('_', ' ')}" for name, value in row.baselines.items())
    return Text("\n".join(lines), style="dim")
