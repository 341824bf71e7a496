"""YooChoose clicks (RecSys 2015) with their real times and gaps; a session is taken for a user."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stream_app.producers.tables import parquet_rows


def yoochoose_clicks(data_dir: Path, *, seed: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """70,278 clicks of the first week of April 2014."""
    del seed  # nothing is drawn
    rows = parquet_rows(data_dir, "yoochoose_clicks/clicks.parquet")
    for number, row in sorted(enumerate(rows), key=lambda item: item[1]["Time"]):
        session = f"yoochoose-{row['SessionId']}"
        yield (
            "clicks",
            {
                "event_id": f"yoochoose-{number}",
                "event_time": round(row["Time"] * 1000),
                "anonymous_id": session,
                "source": "yoochoose",
                "session_id": session,
                "platform": "web",
                "action": "view",
                "product_id": str(row["ItemId"]),
            },
        )
