"""`stream-app topics`."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stream_app.cli.options import Broker, Config, Json
from stream_app.errors import StreamAppError

app = typer.Typer(help="Create, verify and describe the topics.", no_args_is_help=True)


@app.command()
def create(config: Config = None, broker: Broker = None, json: Json = False) -> None:
    """Create the topics that are missing, with explicit retention and cleanup; leave the others alone."""
    from stream_app.settings import load
    from stream_app.transport import admin

    async def run() -> list[str]:
        settings = await admin.settled(load(config, broker__url=broker))
        return await admin.create(settings.broker, admin.plans(settings.topics))

    created = asyncio.run(run())
    if json:
        _print_json({"created": created})
    else:
        Console().print("\n".join(f"created {name}" for name in created) or "nothing was missing")


@app.command()
def verify(config: Config = None, broker: Broker = None, json: Json = False) -> None:
    """Exit non-zero when a topic is missing, or its partitions or cleanup differ from the settings."""
    from stream_app.settings import load
    from stream_app.transport import admin

    async def run() -> list[str]:
        settings = await admin.settled(load(config, broker__url=broker))
        return await admin.verify(settings.broker, admin.plans(settings.topics))

    problems = asyncio.run(run())
    if json:
        _print_json({"problems": problems})
    else:
        Console().print("\n".join(problems) or "all topics are as they should be")
    if problems:
        raise typer.Exit(1)


@app.command()
def schema(
    folder: Annotated[Path | None, typer.Option(help="Where to write; default: the package's own copies.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail when a file is stale.")] = False,
) -> None:
    """Write the JSON Schemas and asyncapi.yaml, generated from the types."""
    from stream_app import schemas

    if check:
        if stale := schemas.stale(folder or schemas.FOLDER):
            raise StreamAppError(f"stale: {', '.join(stale)}; run `stream-app topics schema`")
        return
    for name in schemas.write(folder or schemas.FOLDER):
        Console().print(name)


@app.command()
def acls(
    principal: Annotated[str, typer.Option(help="Whom to allow, as Kafka names it.")] = "User:stream-app",
    config: Config = None,
    json: Json = False,
) -> None:
    """The least that a worker must be allowed to do, as arguments of kafka-acls.sh; asks no broker."""
    from stream_app.settings import load
    from stream_app.transport.acls import worker_acls

    needed = worker_acls(load(config))
    if json:
        _print_json([acl._asdict() for acl in needed])
    else:
        typer.echo("\n".join(acl.command(principal) for acl in needed))


def _print_json(value: object) -> None:
    import orjson

    typer.echo(orjson.dumps(value).decode())
