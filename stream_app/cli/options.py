"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path | None, typer.Option("--config", "-c", help="TOML file; STREAM_APP_SECTION__KEY in the environment wins.")
]
Broker = Annotated[
    str | None, typer.Option("--broker", "-b", help="host:port[,…] of Kafka; default: STREAM_APP_BROKER__URL.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output and nothing else.")]
DataDir = Annotated[
    Path | None, typer.Option("--data", "-d", help="Folder of the data sets; default: STREAM_APP_TEST_DATA.")
]


def time_ms(given: str | None, option: str) -> int | None:
    """Epoch milliseconds of a time option. Raises SettingsError naming it."""
    from stream_app.errors import SettingsError
    from stream_app.producers.publish import event_time_ms

    try:
        return event_time_ms(given) if given else None
    except ValueError as error:
        raise SettingsError(f"{option}: {error}") from None
