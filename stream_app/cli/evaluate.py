"""`stream-app evaluate`."""

from itertools import chain
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from stream_app.cli.options import DataDir, Json
from stream_app.errors import SettingsError
from stream_app.evaluation import INVENTED, SUITES, Run
from stream_app.evaluation import suite as imported
from stream_app.evaluation.table import tables


def evaluate(
    suite: Annotated[str, typer.Argument(help=f"What to measure: {', '.join(SUITES)}, or all.")],
    data: DataDir = None,
    only: Annotated[str | None, typer.Option("--set", "-s", help="One data set of the suite; default: all.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Repetitions where something is random.")] = 3,
    quick: Annotated[bool, typer.Option("--quick", help="A small part, to see that it works: not to judge.")] = False,
    pictures: Annotated[Path | None, typer.Option(help="Folder for plots and confusion matrices.")] = None,
    as_json: Json = False,
) -> None:
    """Measure the model's parts on labelled data, each figure beside its baselines.

    A data set is a folder of the data folder; your own data in the same layout works too.
    """
    from stream_app.settings import load

    chosen = list(SUITES) if suite == "all" else [suite]
    if unknown := set(chosen) - set(SUITES):
        raise SettingsError(f"no suite {unknown.pop()!r}; there are {', '.join(SUITES)}")
    folder = data or load().test_data
    if not set(chosen) <= set(INVENTED) and (folder is None or not folder.is_dir()):
        raise SettingsError(f"no data folder {folder}: name it with --data or STREAM_APP_TEST_DATA")
    run = Run(folder or Path(), only=only, seeds=seeds, quick=quick, pictures=pictures)
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
    rows = (row for name in chosen for row in imported(name)(run))
    first = next(rows, None)
    if first is None:
        raise SettingsError(f"{run.data} has no data set {only or ''} for {', '.join(chosen)}")
    if as_json:
        for row in chain([first], rows):
            print(orjson.dumps(row.document()).decode(), flush=True)  # noqa: T201
        return
    for table in tables(chain([first], rows)):
        Console().print(table)
