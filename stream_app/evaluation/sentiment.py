"""Do we know whether a review is glad or not: texts with a label 1 or 0, any language.

Duplicates are taken out; a fifth is judged and the rest learned from, anew for every seed; intervals are 95 % of the
mean over these splits (Student's t; they overlap). Ours blends TF-IDF of character n-grams, the mean vectors of frozen
transformers that have seen no label (a multilingual one, and a Chinese one where the texts are), what is said of the
nearest known texts by either, and two or three upper layers of one transformer that learn. No set has settings of its
own; layers, read-out and how the layers learn were chosen on a part of what is learned from in the first split of
`shopping`, or with that split in view; neighbours on what is held out of what is learned from in its three splits.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from encoders.language.transformer import MultilingualEncoder
from stream_app.evaluation.chinese import ChineseEncoder, folder, mostly_chinese
from stream_app.evaluation.row import Row, Run
from stream_app.evaluation.yes_or_no import Labelled, distinct, measured, table

FOLDER = "chinese_reviews"
COLUMNS = ("review", "label")


def sentiment(run: Run) -> Iterator[Row]:
    """Every parquet file of `chinese_reviews` is a set; so is one in any other folder that is named."""
    for path in files(run):
        data, spelt = reviews(path), {"analyzer": "char", "grams": (1, 3)}
        if mostly_chinese(data.texts):
            folder(run.console.print)  # before it is read, since fetching takes a while
            yield from measured(run, "sentiment", data, (ChineseEncoder, MiddleLayers), spelt, order=0, tuned=True)
        else:
            yield from measured(run, "sentiment", data, (MiddleLayers,), spelt, order=1, tuned=True)


class MiddleLayers(MultilingualEncoder):
    """The states that were better than others on an inner split of `shopping`; where nobody else reads, the second is
    read token by token."""

    layers = (7, 8, 9, 12)


def files(run: Run) -> list[Path]:
    """`--set` names a file of the usual folder (`hotel`), or a folder with files of that layout."""
    folder = run.data / FOLDER
    own = run.data / run.only if run.only else folder
    if run.only and not own.is_dir():
        return [path for path in [folder / f"{run.only}.parquet"] if path.is_file()]
    return sorted(own.glob("*.parquet"))


def reviews(path: Path) -> Labelled:
    """The texts of one file: `review` and `label`."""
    rows = table(path, COLUMNS)
    return distinct(path.stem, [(row["review"] or "", row["label"]) for row in rows], column="label")
