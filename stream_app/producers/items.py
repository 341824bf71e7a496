"""The catalogue that goes with a source, as (product id, record) for the items topic."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xxhash import xxh3_64_intdigest

from stream_app.producers.catalogue import Catalogue
from stream_app.producers.publish import Encoded, encode_item
from stream_app.producers.sources.composite import backbone
from stream_app.producers.tables import parquet_rows

Items = Iterator[tuple[str, dict[str, Any]]]

MAX_IMAGE_BYTES = 64 * 1024


def items(source: str, data_dir: Path | None, *, seed: int) -> Iterator[Encoded]:
    """Encoded records; none for a source that has no catalogue."""
    found: Items = iter(())
    if source == "simulator":
        found = Catalogue(seed=seed).items()
    elif source == "composite" and data_dir is not None:
        found = _composite(data_dir)
    elif source == "fashion_products" and data_dir is not None:
        found = _fashion(data_dir)
    return (encode_item(product, record) for product, record in found)


def _fashion(data_dir: Path) -> Items:
    """Real titles and photos."""
    for row in parquet_rows(data_dir, "fashion_products/products.parquet"):
        path = data_dir / f"fashion_products/images/{row['id']}.jpg"
        data = path.read_bytes() if path.is_file() else b""
        record: dict[str, Any] = {"title": row["productDisplayName"], "category": row["subCategory"]}
        if 0 < len(data) <= MAX_IMAGE_BYTES:
            record["image"] = {"data": base64.b64encode(data).decode()}
        yield f"fashion-{row['id']}", record


def _composite(data_dir: Path) -> Items:
    """Products of the click logs, with their brand and price; title and photo are another product's, by chance."""
    dressed = [record for _, record in _fashion(data_dir)]
    facts: dict[str, dict[str, Any]] = {}
    for click in backbone(data_dir):
        own: dict[str, Any] = {name: click[name] for name in ("brand", "price", "currency") if name in click}
        facts.setdefault(click["product_id"], own)
    for product, own in facts.items():
        yield product, {**dressed[xxh3_64_intdigest(product.encode()) % len(dressed)], **own}
