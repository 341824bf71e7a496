"""Work `windows` for people: a table, and a plot of CPU per event and latency; smaller is better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from rich.table import Table

PANELS = (
    ("cpu_us_per_event", "CPU per event, µs (log)"),
    ("events_per_s", "events per second (log)"),
    ("p50_ms", "latency p50, ms (log)"),
    ("p99_ms", "latency p99, ms (log)"),
)
COLUMNS = {
    "cpu_us_per_event": "CPU µs/event",
    "times_ours": "× ours",
    "cpu_us_per_event_less_start": "whole turn less start",
    "events_per_s": "events/s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "peak_mib": "peak MiB",
    "wrong": "wrong",
    "checked": "checked",
}


def table(result: dict[str, Any]) -> Table:
    """One row per system."""
    shown = Table(f"windows, {result['events']:,} clicks", *COLUMNS.values(), "guarantee")
    for name, figures in {"ours": result["ours"], **result["peers"]}.items():
        cells = [f"{figures[key]:,}" if figures.get(key) is not None else "–" for key in COLUMNS]
        shown.add_row(name, *cells, figures.get("guarantee", f"absent: {figures.get('absent')}"))
    return shown


def draw(result: dict[str, Any], file: Path) -> None:
    """Bars per system, ours in colour; a system without the figure says so."""
    systems = {"ours": result["ours"], **result["peers"]}
    size = (16, 0.5 * len(systems) + 1.5)
    figure, axes = plt.subplots(1, len(PANELS), figsize=size, sharey=True, layout="constrained")
    for axis, (key, title) in zip(axes, PANELS, strict=True):
        for at, (name, figures) in enumerate(systems.items()):
            value = figures.get(key)
            if value:
                axis.barh(at, value, color="tab:blue" if name == "ours" else "silver")
            axis.text(value or 1, at, f" {value:,}" if value else _why(figures), va="center")
        axis.set_xscale("log")
        axis.margins(x=0.35)
        axis.set_title(title, fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(systems)), list(systems))
    axes[0].invert_yaxis()
    figure.suptitle(f"{result['events']:,} clicks, 5-minute windows per user, one output per event")
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _why(figures: dict[str, Any]) -> str:
    """Why a figure is not there."""
    if "absent" in figures:
        return " absent"
    return " cannot keep up" if "pace" in figures else " not measured"
