"""JSON lines in the contract's own form: what `stream-app` writes and others can write."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from pathlib import Path
from typing import Any

from stream_app.errors import DependencyError
from stream_app.producers.publish import event_time_ms
from stream_app.producers.tables import existing, json_lines


def canonical(data_dir: Path, *, seed: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """A file of `{"topic": …, "value": {…}}` lines, kept in their order; or a folder of `<topic>.jsonl[.gz]`, merged.

    A topic may carry a prefix: `behavior.clicks` is `clicks`.
    """
    del seed  # nothing is drawn
    if existing(data_dir).is_file():
        return ((line["topic"].rpartition(".")[2], line["value"]) for line in json_lines(data_dir))
    paths = sorted([*data_dir.glob("*.jsonl"), *data_dir.glob("*.jsonl.gz")])
    if not paths:
        raise DependencyError(f"no .jsonl or .jsonl.gz file in {data_dir}")
    return merge(*map(_records, paths), key=lambda item: event_time_ms(item[1]["event_time"]))


def _records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    topic = path.name.removesuffix(".gz").removesuffix(".jsonl").rpartition(".")[2]
    return ((topic, record) for record in json_lines(path))
