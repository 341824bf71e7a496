"""Chinese shopping, hotel and takeaway reviews, liked or not; products, users and times are invented."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from stream_app.producers.arrivals import arrivals
from stream_app.producers.tables import parquet_rows

_PRODUCTS = 200  # invented, per category


def chinese_reviews(data_dir: Path, *, seed: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """About 59,600 reviews, mixed; the label 1 stands as five stars and 0 as one."""
    rng = Random(f"{seed} chinese_reviews order")
    rows = [
        (row.get("cat") or name, row["review"].strip("\ufeff \n"), row["label"])
        for name in ("shopping", "hotel", "takeaway")
        for row in parquet_rows(data_dir, f"chinese_reviews/{name}.parquet")
        if row["review"]
    ]
    rng.shuffle(rows)
    records = (
        {
            "product_id": f"{category}-{rng.randrange(_PRODUCTS)}",
            "review_body": text,
            "rating": 5 if label else 1,
            "language": "zh",
        }
        for category, text, label in rows
    )
    return (("reviews", record) for record in arrivals("chinese_reviews", records, seed=seed, users=9_000))
