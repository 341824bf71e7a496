"""WANDS: real furniture queries; users and times are invented."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stream_app.producers.arrivals import arrivals
from stream_app.producers.tables import parquet_rows


def wands_queries(data_dir: Path, *, seed: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """480 searches."""
    rows = parquet_rows(data_dir, "wands_queries/queries.parquet")
    records = ({"query": row["query"], "query_id": f"wands-{row['query_id']}", "language": "en"} for row in rows)
    return (("searches", record) for record in arrivals("wands_queries", records, seed=seed, users=60))
