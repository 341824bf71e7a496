"""What people see of the rows."""

from io import StringIO

import pytest
from rich.console import Console

from stream_app.evaluation.row import Row
from stream_app.evaluation.table import tables

ROWS = [
    Row("voice", "slurp", "word_error_rate", 0.188, (0.18, 0.2), {"majority": 1.0, "published_pipeline": 0.25}),
    Row("voice", "slurp", "accuracy", 0.83),
    Row("voice", "mine", "accuracy", 0.5),
]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_table_per_set_shows_every_figure_and_every_baseline(width: int) -> None:
    shown = list(tables(ROWS))
    assert [table.title for table in shown] == ["voice · slurp", "voice · mine"]
    out = StringIO()
    for table in shown:
        Console(file=out, width=width).print(table)
    for word in ("word error rate", "0.188", "0.18 – 0.2", "1 majority", "0.25 published", "pipeline", "0.83", "0.5"):
        assert word in out.getvalue()


def test_a_table_comes_as_soon_as_its_set_is_done() -> None:
    def rows():
        yield from ROWS
        raise InterruptedError

    assert next(tables(rows())).title == "voice · slurp"
