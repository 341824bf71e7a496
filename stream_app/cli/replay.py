"""`stream-app replay`."""

from typing import Annotated

import typer

from stream_app.cli.options import Broker, Config, DataDir, Json


def replay(
    source: Annotated[str, typer.Argument(help="canonical (JSON lines), composite, or the name of a data set.")],
    data: DataDir = None,
    config: Config = None,
    broker: Broker = None,
    speed: Annotated[str, typer.Option(help="1x, 10x (real gaps, sped up), 500/s or max.")] = "max",
    limit: Annotated[int | None, typer.Option(help="Stop after so many records.")] = None,
    seed: Annotated[int, typer.Option(help="How composite attaches texts and photos.")] = 0,
    json: Json = False,
) -> None:
    """Send recorded or real events, in event-time order."""
    import orjson
    from rich.console import Console

    from stream_app.cli.produce import send_with_progress
    from stream_app.errors import SettingsError
    from stream_app.producers.publish import Speed, encode
    from stream_app.producers.replay import replay as read
    from stream_app.settings import load

    settings = load(config, broker__url=broker)
    folder = data or settings.test_data
    if folder is None:
        raise SettingsError("no folder of data sets: give --data or set STREAM_APP_TEST_DATA")
    stream = (encode(event_type, record) for event_type, record in read(source, folder, seed=seed, limit=limit))
    total = send_with_progress(settings, stream, Speed.parse(speed), limit=limit)
    if json:
        typer.echo(orjson.dumps({"source": source, "sent": total}).decode())
    else:
        Console().print(f"sent {total} records of {source}")
