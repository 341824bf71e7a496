"""Women's clothing reviews with stars; users and times are invented."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stream_app.producers.arrivals import arrivals
from stream_app.producers.tables import parquet_rows


def womens_reviews(data_dir: Path, *, seed: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """17,545 reviews in English."""
    rows = parquet_rows(data_dir, "womens_reviews/reviews.parquet")
    records = (
        {
            "product_id": f"clothing-{row['Clothing ID']}",
            "title": row["Title"],
            "review_body": row["Review Text"],
            "rating": row["Rating"],
            "language": "en",
        }
        for row in rows
    )
    return (("reviews", record) for record in arrivals("womens_reviews", records, seed=seed, users=4_000))
