"""REES46 shop events with prices and purchases, with their real times."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stream_app.producers.tables import parquet_rows

_ACTIONS = {"view": "view", "cart": "add_to_cart", "purchase": "purchase"}


def rees46(data_dir: Path, *, seed: int = 0, folder: str = "rees46") -> Iterator[tuple[str, dict[str, Any]]]:
    """17,435 clicks of 2019-10-01, or what another folder holds in the same layout."""
    del seed  # nothing is drawn
    for number, row in enumerate(parquet_rows(data_dir, f"{folder}/events.parquet")):
        moment = datetime.strptime(row["event_time"], "%Y-%m-%d %H:%M:%S %Z").replace(tzinfo=UTC)
        record = {
            "event_id": f"rees46-{number}",
            "event_time": int(moment.timestamp()) * 1000,
            "user_id": str(row["user_id"]),
            "source": "rees46",
            "session_id": row["user_session"],
            "platform": "web",
            "action": _ACTIONS[row["event_type"]],
            "product_id": str(row["product_id"]),
            "category": row["category_code"] or str(row["category_id"]),
            "brand": row["brand"],
            "price": row["price"],
            "currency": "USD",
        }
        yield "clicks", {name: value for name, value in record.items() if value is not None}
