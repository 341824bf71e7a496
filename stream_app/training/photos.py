"""Photos to learn from."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from fusion.material import Photos
from stream_app.producers.tables import parquet_rows
from stream_app.training.texts import objects, share_of

FEWEST = 10
"""Photos of a kind that can be learned."""


def photos_of(data_dir: Path, *, every: int = 1) -> tuple[Photos, Photos, Photos]:
    """Catalogue photos (fashion products, MIT) to learn from, choose by and test; `every` so many-th of them."""
    rows = [row for row in parquet_rows(data_dir, "fashion_products/products.parquet") if row["has_image"]][::every]
    counts = Counter(row["subCategory"] for row in rows)
    kinds = sorted(kind for kind, count in counts.items() if count >= FEWEST)
    rows = [row for row in rows if row["subCategory"] in kinds]
    data = objects([(data_dir / f"fashion_products/images/{row['id']}.jpg").read_bytes() for row in rows])
    kind = np.array([kinds.index(row["subCategory"]) for row in rows], np.int64)
    share = np.array([share_of(str(row["id"])) for row in rows])
    train, valid, test = (Photos(data[s], kind[s]) for s in (share > 1, share == 1, share == 0))
    return train, valid, test


def no_photos() -> Photos:
    """None at all."""
    return Photos(objects([]), np.zeros(0, np.int64))
