"""Would the writer of a review recommend the product: yes or no.

Read are the title and the text of the review. Not read are its stars, which give the answer away, nor the writer's
age or the kind of product. Duplicates are taken out; a fifth, by chance and not by product, is judged and the rest
learned from, anew for every seed; intervals are 95 % of the mean over these splits (Student's t; they overlap).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from encoders.language.transformer import TransformerEncoder
from stream_app.evaluation.row import Row, Run
from stream_app.evaluation.yes_or_no import Labelled, distinct, measured, table

FOLDER = "womens_reviews"
FILE = "reviews.parquet"
TITLE, TEXT, LABEL = "Title", "Review Text", "Recommended IND"


def intent(run: Run) -> Iterator[Row]:
    """The one set of `womens_reviews`, or that of the folder which is named."""
    name = run.only or FOLDER
    path = run.data / name / FILE
    if path.is_file():
        data = recommended(name, table(path, (TITLE, TEXT, LABEL)))
        yield from measured(run, "intent", data, TransformerEncoder, {"analyzer": "word", "grams": (1, 2)})


def recommended(name: str, rows: list[dict[str, Any]]) -> Labelled:
    """Title and text in one."""
    said = [". ".join(part.strip() for part in (row[TITLE], row[TEXT]) if part and part.strip()) for row in rows]
    return distinct(name, list(zip(said, (row[LABEL] for row in rows), strict=True)), column=LABEL)
