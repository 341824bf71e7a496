"""`stream-app simulate`."""

import time
from pathlib import Path
from typing import Annotated

import typer

from stream_app.cli.options import Broker, Config, Json


def simulate(
    config: Config = None,
    broker: Broker = None,
    events: Annotated[int | None, typer.Option(help="Stop after so many; endless by default.")] = None,
    users: Annotated[int, typer.Option(help="Shoppers.")] = 500,
    seed: Annotated[int, typer.Option(help="The same seed gives the same shop.")] = 1,
    speed: Annotated[str, typer.Option(help="1x, 10x (real gaps, sped up), 500/s or max.")] = "1x",
    bots: Annotated[float, typer.Option(help="Share of shoppers that are bots.")] = 0.02,
    disorder: Annotated[float, typer.Option(help="Share of records that arrive late, by up to 5 s.")] = 0.05,
    duplicates: Annotated[float, typer.Option(help="Share of records sent twice.")] = 0.005,
    bad: Annotated[float, typer.Option(help="Share of broken records in between.")] = 0.0,
    images: Annotated[bool, typer.Option(help="Photos in reviews and searches.")] = True,
    catalogue: Annotated[bool, typer.Option(help="First what is for sale, to behavior.items.")] = True,
    output: Annotated[Path | None, typer.Option(help="Write canonical JSON lines here instead of Kafka.")] = None,
    json: Json = False,
) -> None:
    """Send invented shoppers: sessions, searches, reviews with photos, voice, bots. Every record says so."""
    from itertools import islice

    import orjson
    from rich.console import Console

    from stream_app.cli.produce import send_with_progress
    from stream_app.producers.bad_input import with_bad
    from stream_app.producers.items import items
    from stream_app.producers.publish import Speed, encode
    from stream_app.producers.simulate import past_start_ms
    from stream_app.producers.simulate import simulate as invent
    from stream_app.settings import load

    now_ms = time.time_ns() // 1_000_000
    stream = invent(
        users=users,
        seed=seed,
        start_ms=now_ms if speed == "1x" else past_start_ms(now_ms, events),
        bots=bots,
        disorder=disorder,
        duplicates=duplicates,
        images=images,
    )
    if output is not None:
        with output.open("wb") as file:
            for event_type, record in islice(stream, events):
                file.write(orjson.dumps({"topic": event_type, "value": record}) + b"\n")
        return
    encoded = (encode(event_type, record) for event_type, record in stream)
    settings = load(config, broker__url=broker)
    if catalogue:
        send_with_progress(settings, items("simulator", None, seed=seed), Speed(), limit=None)
    total = send_with_progress(
        settings, with_bad(encoded, bad, seed=seed) if bad else encoded, Speed.parse(speed), limit=events
    )
    if json:
        typer.echo(orjson.dumps({"simulated": True, "sent": total}).decode())
    else:
        Console().print(f"sent {total} simulated records")
