"""`stream-app demo`."""

from typing import Annotated

import typer

from stream_app.cli.options import DataDir, Json


def demo(
    events: Annotated[int | None, typer.Option(help="Send so many at full speed, print the account, and end.")] = None,
    source: Annotated[str, typer.Option(help="simulator, or a source of `stream-app replay`.")] = "simulator",
    data: DataDir = None,
    speed: Annotated[str | None, typer.Option(help="max with --events, else 200/s.")] = None,
    port: Annotated[int, typer.Option(help="Port of the live page; 0 picks a free one.")] = 8080,
    seed: Annotated[int, typer.Option(help="The same seed gives the same shop.")] = 1,
    json: Json = False,
) -> None:
    """Show the system alive on this machine: broker, worker, shoppers, predictions, live page."""
    import asyncio

    from stream_app.demo.run import run
    from stream_app.logs import configure

    configure("console", "CRITICAL")  # what goes wrong here ends the demo with a line of its own

    balanced = asyncio.run(
        run(events=events, source=source, data=data, speed=speed, port=port, seed=seed, as_json=json)
    )
    if not balanced:
        raise typer.Exit(1)
