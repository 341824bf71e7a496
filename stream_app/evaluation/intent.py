"""Would the writer of a review recommend the product: yes or no.

Read are the title and the text of the review. Not read are its stars, which give the answer away (only those of the
texts to learn from, to learn by), nor the writer's age or the kind of product. Duplicates are taken out; a fifth, by
chance and not by product, is judged and the rest learned from, anew for every seed; intervals are 95 % of the mean over
these splits (Student's t; they overlap). What is read and how was chosen within the learned part of the first split.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from encoders.language.transformer import TransformerEncoder
from stream_app.evaluation.row import Row, Run
from stream_app.evaluation.yes_or_no import Labelled, distinct, measured, table

FOLDER = "womens_reviews"
FILE = "reviews.parquet"
TITLE, TEXT, LABEL, STARS = "Title", "Review Text", "Recommended IND", "Rating"


def intent(run: Run) -> Iterator[Row]:
    """The one set of `womens_reviews`, or that of the folder which is named."""
    name = run.only or FOLDER
    path = run.data / name / FILE
    if path.is_file():
        data = recommended(name, table(path, (TITLE, TEXT, LABEL)))
        spelt = {"analyzer": "word", "grams": (1, 2)}
        yield from measured(run, "intent", data, (EarlyLayers,), spelt, order=1)


class EarlyLayers(TransformerEncoder):
    """MiniLM's states before the last, which was taught what texts are about, know more of how they are meant."""

    layers = (3, 4, 5, 6)


def recommended(name: str, rows: list[dict[str, Any]]) -> Labelled:
    """Title and text in one, the title alone, and the stars where every row has them."""
    titles = [(row[TITLE] or "").strip() for row in rows]
    said = [
        ". ".join(part for part in (title, (row[TEXT] or "").strip()) if part)
        for title, row in zip(titles, rows, strict=True)
    ]
    stars = [float(row[STARS]) for row in rows if row.get(STARS) is not None]
    pairs = [(text, row[LABEL]) for text, row in zip(said, rows, strict=True)]
    return distinct(name, pairs, column=LABEL, titles=titles, grade=stars if len(stars) == len(rows) else None)
