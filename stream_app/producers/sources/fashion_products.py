"""Fashion product photos as searches by picture; users and times are invented."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stream_app.producers.arrivals import arrivals
from stream_app.producers.tables import parquet_rows

MAX_IMAGE_BYTES = 64 * 1024


def fashion_products(data_dir: Path, *, seed: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """1,993 searches: the photo with colour and kind of the product as the query, the product as the result."""
    records = (
        {
            "query": f"{row['baseColour'] or ''} {row['subCategory']}".strip().lower(),
            "total_results": 1,
            "results": [{"product_id": f"fashion-{row['id']}", "position": 1}],
            "language": "en",
            "image": _image(data_dir / f"fashion_products/images/{row['id']}.jpg"),
        }
        for row in parquet_rows(data_dir, "fashion_products/products.parquet")
    )
    return (("searches", record) for record in arrivals("fashion_products", records, seed=seed, users=300))


def _image(path: Path) -> dict[str, str] | None:
    data = path.read_bytes() if path.is_file() else b""
    return {"data": base64.b64encode(data).decode()} if 0 < len(data) <= MAX_IMAGE_BYTES else None
