"""`stream-app replay`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stream_app.cli.options import Broker, Config, DataDir, Json, time_ms


def replay(
    source: Annotated[
        str | None, typer.Argument(help="canonical (JSON lines), composite, or the name of a data set.")
    ] = None,
    data: DataDir = None,
    config: Config = None,
    broker: Broker = None,
    speed: Annotated[str | None, typer.Option(help="1x, 10x (real gaps, sped up), 500/s or max (the default).")] = None,
    limit: Annotated[int | None, typer.Option(help="Stop after so many records.")] = None,
    seed: Annotated[int | None, typer.Option(help="How composite attaches texts and photos.")] = None,
    into: Annotated[
        str | None,
        typer.Option(help="Predict what the topics hold once more, into PREFIX + this + .predictions; no SOURCE then."),
    ] = None,
    since: Annotated[str | None, typer.Option("--from", help="Only input from then on: RFC 3339 or epoch ms.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Only input before then: RFC 3339 or epoch ms.")] = None,
    model: Annotated[Path | None, typer.Option(help="Another artefact than the one that the settings name.")] = None,
    json: Json = False,
) -> None:
    """Send recorded or real events, in event-time order; or, with --into, predict recorded input once more beside the
    live predictions: no offset, state or output of the pipeline changes."""
    from stream_app.errors import SettingsError
    from stream_app.settings import load

    sends = {"--data": data, "--speed": speed, "--limit": limit, "--seed": seed}
    predicts = {"--from": since, "--to": until, "--model": model}
    if source is None and into is None:
        raise SettingsError("give a SOURCE of events to send, or --into NAME to predict recorded input once more")
    if source is not None and into is not None:
        raise SettingsError("a SOURCE is sent, --into predicts what the topics hold: give one of them")
    for name, value in (sends if into is not None else predicts).items():
        if value is not None:
            raise SettingsError(f"{name} goes with {'a SOURCE' if into is not None else '--into'}")
    settings = load(config, broker__url=broker)
    if into is None:
        _send(settings, source or "", data, speed=speed or "max", limit=limit, seed=seed or 0, json=json)
    else:
        _predict(settings, into, time_ms(since, "--from"), time_ms(until, "--to"), model, json=json)


def _send(
    settings: Any, source: str, data: Path | None, *, speed: str, limit: int | None, seed: int, json: bool
) -> None:
    import orjson
    from rich.console import Console

    from stream_app.cli.produce import send_with_progress
    from stream_app.errors import SettingsError
    from stream_app.producers.publish import Speed, encode
    from stream_app.producers.replay import replay as read

    folder = data or settings.test_data
    if folder is None:
        raise SettingsError("no folder of data sets: give --data or set STREAM_APP_TEST_DATA")
    stream = (encode(event_type, record) for event_type, record in read(source, folder, seed=seed, limit=limit))
    total = send_with_progress(settings, stream, Speed.parse(speed), limit=limit)
    if json:
        typer.echo(orjson.dumps({"source": source, "sent": total}).decode())
    else:
        Console().print(f"sent {total} records of {source}")


def _predict(
    settings: Any, into: str, from_ms: int | None, to_ms: int | None, model: Path | None, *, json: bool
) -> None:
    import asyncio

    import orjson
    from rich.console import Console

    from stream_app.audit.replay import replay as again

    with Console(stderr=True).status("reading") as status:
        scored = 0

        def told(topic: str, events: int) -> None:
            nonlocal scored
            scored += events
            status.update(f"{topic}: {scored:,} predictions made again")

        work = again(settings, into, from_ms=from_ms, to_ms=to_ms, model=model, told=told)
        result = asyncio.run(work).document()
    if json:
        typer.echo(orjson.dumps(result).decode())
    else:
        Console().print("\n".join(f"{name:<24}{value}" for name, value in result.items()))
