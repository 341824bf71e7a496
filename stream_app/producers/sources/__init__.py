"""Real data sets as contract records: one adapter per file, each yields (event type, record) in event-time order."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from stream_app.producers.sources.canonical import canonical
from stream_app.producers.sources.chinese_reviews import chinese_reviews
from stream_app.producers.sources.composite import composite
from stream_app.producers.sources.fashion_products import fashion_products
from stream_app.producers.sources.rees46 import rees46
from stream_app.producers.sources.slurp import slurp
from stream_app.producers.sources.taskmaster4 import taskmaster4
from stream_app.producers.sources.wands_queries import wands_queries
from stream_app.producers.sources.womens_reviews import womens_reviews
from stream_app.producers.sources.yoochoose_clicks import yoochoose_clicks


class Source(Protocol):
    """An adapter: `data_dir` is the folder that holds the data sets' folders."""

    def __call__(self, data_dir: Path, *, seed: int) -> Iterator[tuple[str, dict[str, Any]]]: ...


SOURCES: dict[str, Source] = {
    "canonical": canonical,
    "rees46": rees46,
    "yoochoose_clicks": yoochoose_clicks,
    "womens_reviews": womens_reviews,
    "chinese_reviews": chinese_reviews,
    "slurp": slurp,
    "wands_queries": wands_queries,
    "taskmaster4": taskmaster4,
    "fashion_products": fashion_products,
    "composite": composite,
}
