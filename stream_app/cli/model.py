"""`stream-app model`."""

import asyncio
import pathlib
from typing import Annotated, Any

import typer
from rich.console import Console

from stream_app.cli.options import Broker, Config, DataDir, Json

app = typer.Typer(
    help="Which model serves: show it, set another without a pause, go back; compare artefacts.", no_args_is_help=True
)

Path = Annotated[
    str | None,
    typer.Argument(help="A .safetensors file below the model folder (model.folder); default: the settings' own model."),
]
Reason = Annotated[str, typer.Option(help="Kept in the record.")]


@app.command()
def show(config: Config = None, broker: Broker = None, json: Json = False) -> None:
    """The model that the control topic names, what is in the shadow, and the artefacts that could be set."""
    from stream_app.models import orders
    from stream_app.settings import load

    settings = load(config, broker__url=broker)
    _print(asyncio.run(orders.present(settings)).facts() | {"artefacts": orders.artefacts(settings)}, json)


@app.command("set")
def set_(
    path: Path = None,
    shadow: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Only beside the live model, for this share of the users; 0 ends the shadow."),
    ] = None,
    reason: Reason = "",
    config: Config = None,
    broker: Broker = None,
    json: Json = False,
) -> None:
    """Let an artefact serve from now on; it is loaded and checked here before anything is sent."""
    from stream_app.models import orders
    from stream_app.settings import load

    settings = load(config, broker__url=broker)
    if shadow is None:
        order = asyncio.run(orders.set_model(settings, path, reason=reason))
    else:
        order = asyncio.run(orders.set_shadow(settings, path, shadow))
    _print(order.facts(), json)


@app.command("return")
def return_(reason: Reason = "", config: Config = None, broker: Broker = None, json: Json = False) -> None:
    """Let the model before the present one serve again."""
    from stream_app.models import orders
    from stream_app.settings import load

    _print(asyncio.run(orders.take_back(load(config, broker__url=broker), reason=reason)).facts(), json)


@app.command()
def compare(
    artefacts: Annotated[
        list[str], typer.Argument(metavar="FILE FILE...", help="The first is compared with the others.")
    ],
    data: DataDir = None,
    only: Annotated[str | None, typer.Option("--set", "-s", help="simulated, rees46 or cdnow; default: all.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small part, to see that it works: not to judge.")] = False,
    json: Json = False,
) -> None:
    """Answers of several artefacts to the same events of users whom none has learned from, paired over users."""
    import orjson

    from fusion.checkpoint import load_checkpoint
    from stream_app.errors import SettingsError
    from stream_app.evaluation import Run
    from stream_app.evaluation.compare import compare as compared
    from stream_app.evaluation.table import tables
    from stream_app.settings import load

    folder = data or load().test_data
    if folder is None or not folder.is_dir():
        raise SettingsError(f"no data folder {folder}: name it with --data or STREAM_APP_TEST_DATA")
    if len(set(artefacts)) < 2:
        raise SettingsError("name at least two artefacts")
    models = {short(name, artefacts): load_checkpoint(pathlib.Path(name)).model for name in artefacts}
    rows = compared(Run(folder, only=only, quick=quick), models)
    if json:
        for row in rows:
            typer.echo(orjson.dumps(row.document()).decode())
        return
    for table in tables(rows):
        Console().print(table)


def short(path: str, paths: list[str]) -> str:
    """The folder of an artefact where that tells it from the others, else all of its path."""
    folders = [pathlib.Path(each).absolute().parent.name for each in paths]
    return folders[paths.index(path)] if len(set(folders)) == len(set(paths)) else path


def _print(facts: dict[str, Any], json: bool) -> None:
    import orjson

    if json:
        typer.echo(orjson.dumps(facts).decode())
        return
    for name, value in facts.items():
        shown = value if isinstance(value, str | int | float) else orjson.dumps(value).decode()
        Console().print(f"{name:<11}{shown}", highlight=False, soft_wrap=True, markup=False)
