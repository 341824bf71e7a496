"""A plot of work `windows` for people: CPU per event and latency of every system, smaller is better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

PANELS = (
    ("cpu_us_per_event", "CPU per event, µs (log)"),
    ("events_per_s", "events per second (log)"),
    ("p50_ms", "latency p50, ms (log)"),
    ("p99_ms", "latency p99, ms (log)"),
)


def draw(result: dict[str, Any], file: Path) -> None:
    """Bars per system, ours in colour; a system without the figure says so."""
    systems = {"ours": result["ours"], **result["peers"]}
    figure, axes = plt.subplots(
        1, len(PANELS), figsize=(16, 0.5 * len(systems) + 1.5), sharey=True, layout="constrained"
    )
    for axis, (key, title) in zip(axes, PANELS, strict=True):
        for at, (name, figures) in enumerate(systems.items()):
            value = figures.get(key)
            if value:
                axis.barh(at, value, color="tab:blue" if name == "ours" else "silver")
            axis.text(
                value or 1,
                at,
                f" {value:,}" if value else " cannot keep up" if "turns" in figures else " absent",
                va="center",
            )
        axis.set_xscale("log")
        axis.margins(x=0.35)
        axis.set_title(title, fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(systems)), list(systems))
    axes[0].invert_yaxis()
    figure.suptitle(
        f"{result['events']:,} clicks, 5-minute windows per user, one output per event, {result['turns']} turns"
    )
    figure.savefig(file, dpi=110)
    plt.close(figure)
