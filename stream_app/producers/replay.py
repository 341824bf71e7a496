"""Recorded or published data as a stream of contract records."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from stream_app.errors import SettingsError
from stream_app.producers.sources import SOURCES


def replay(
    source: str, data_dir: Path, *, seed: int = 0, limit: int | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(event type, record) of a source in SOURCES in event-time order; the same for the same seed."""
    if source not in SOURCES:
        raise SettingsError(f"no source {source!r}; there are {', '.join(SOURCES)}")
    return islice(SOURCES[source](data_dir, seed=seed), limit)
