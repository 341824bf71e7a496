"""`stream-app campaign`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from stream_app.cli.options import Broker, Config, Json


def campaign(
    signal: Annotated[str, typer.Argument(help="The signal on which the campaign acts, e.g. hot_lead.")],
    horizon_h: Annotated[float, typer.Option("--horizon", help="Hours within which a purchase counts.")] = 72.0,
    config: Config = None,
    broker: Broker = None,
    json: Json = False,
) -> None:
    """Whether acting on a signal helps: purchases of those announced against those held out, with a 95 % interval."""
    from stream_app.campaign.measure import exposure, measure
    from stream_app.errors import SettingsError
    from stream_app.outputs.topics import TopicNames
    from stream_app.settings import load
    from stream_app.signals import SIGNALS
    from stream_app.transport import admin
    from stream_app.transport.log_reader import read_all

    if signal not in SIGNALS:
        raise SettingsError(f"no such signal: {signal}; there are {', '.join(SIGNALS)}")

    async def read() -> tuple[list[Any], list[Any]]:
        settings = await admin.settled(load(config, broker__url=broker))
        names, partitions = TopicNames(settings.topics.prefix), range(settings.topics.partitions)
        told = await read_all(settings.broker, [(names.signals, at) for at in partitions])
        clicked = await read_all(settings.broker, [(names["clicks"], at) for at in partitions])
        return list(_objects(record.value for record in told)), list(_objects(record.value for record in clicked))

    told, clicks = asyncio.run(read())
    found, shown = measure(told, clicks, signal=signal, horizon_ms=round(horizon_h * 3_600_000)), exposure(clicks)
    if json:
        figures = {"signal": signal, **asdict(found), "sure": found.sure, "recommendations": shown._asdict()}
        print(orjson.dumps(figures).decode())  # noqa: T201 - the output of the command
        return
    lines = [
        f"announced {found.treated.users:,} users, {found.treated.rate:.1%} bought within {horizon_h:g} h",
        f"held out  {found.held_out.users:,} users, {found.held_out.rate:.1%} bought",
        f"uplift {found.difference:+.1%} (95 % interval {found.low:+.1%} to {found.high:+.1%}): "
        + ("more than chance" if found.sure else "could be chance"),
        f"recommendations shown {shown.shown:,}: clicked {shown.clicked.rate:.1%}, bought {shown.bought.rate:.1%}",
    ]
    Console().print("\n".join(lines), highlight=False)


def _objects(values: Iterable[bytes | None]) -> Iterable[Any]:
    """Those that are JSON objects; the others went to the dead letters."""
    for value in values:
        try:
            read = orjson.loads(value or b"")
        except orjson.JSONDecodeError:
            continue
        if isinstance(read, dict):
            yield read
