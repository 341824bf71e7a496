"""`stream-app dead-letters`."""

import asyncio
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from stream_app.cli.options import Broker, Config, Json
from stream_app.errors import StreamAppError

app = typer.Typer(help="Find refused records, look at one, send them in again.", no_args_is_help=True)

Filter = Annotated[
    list[str] | None,
    typer.Option("--filter", "-f", help="name=value; code, stage, field, topic, partition or offset. All must hold."),
]


@app.command("list")
def list_(
    config: Config = None,
    broker: Broker = None,
    filter: Filter = None,
    limit: Annotated[int, typer.Option(help="At most so many.")] = 100,
    json: Json = False,
) -> None:
    """Which records were refused, where they came from and why; no personal text."""
    from stream_app.dead_letters.box import letters
    from stream_app.dead_letters.letter import parse_filters
    from stream_app.settings import load

    settings = load(config, broker__url=broker)
    found = [letter.facts() for letter in asyncio.run(letters(settings, parse_filters(filter or []), limit=limit))]
    if json:
        _print_json(found)
        return
    table = Table("letter", "topic", "partition", "offset", "code", "stage", "field", "message")
    for facts in found:
        table.add_row(*(str(facts[str(column.header)]) for column in table.columns))
    Console().print(table if found else "no dead letters")


@app.command()
def show(
    letter: Annotated[str, typer.Argument(help="partition/offset of the letter, as `list` prints it.")],
    config: Config = None,
    broker: Broker = None,
    json: Json = False,
) -> None:
    """One letter with its original record, personal text and all."""
    from stream_app.dead_letters.box import letters
    from stream_app.settings import load

    settings = load(config, broker__url=broker)
    found = [one for one in asyncio.run(letters(settings, {})) if one.facts()["letter"] == letter]
    if not found:
        raise StreamAppError(f"no dead letter {letter}; see `stream-app dead-letters list`")
    original = found[0].original()
    whole = found[0].facts() | {
        "key": (original.key or b"").decode(errors="replace"),
        "value": (original.value or b"").decode(errors="replace"),
        "headers": [[name, value.decode(errors="replace")] for name, value in original.headers],
    }
    if json:
        _print_json(whole)
    else:
        for name, value in whole.items():
            typer.echo(f"{name:<12}{value}")


@app.command()
def replay(
    config: Config = None,
    broker: Broker = None,
    filter: Filter = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many; send nothing.")] = False,
    json: Json = False,
) -> None:
    """Send the original records to the topics they came from; what was predicted meanwhile is a duplicate there."""
    from stream_app.dead_letters import box
    from stream_app.dead_letters.letter import parse_filters
    from stream_app.settings import load

    settings = load(config, broker__url=broker)
    wanted = parse_filters(filter or [])

    async def run() -> int:
        chosen = await box.letters(settings, wanted)
        if not dry_run:
            await box.replay(settings, chosen)
        return len(chosen)

    count = asyncio.run(run())
    if json:
        _print_json({"matched": count, "replayed": 0 if dry_run else count})
    else:
        Console().print(f"would replay {count} records" if dry_run else f"replayed {count} records")


def _print_json(value: Any) -> None:
    import orjson

    typer.echo(orjson.dumps(value).decode())
