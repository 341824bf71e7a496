"""`stream-app broker`."""

from pathlib import Path
from typing import Annotated

import typer


def broker(
    data: Annotated[Path | None, typer.Option(help="Keep topics here between starts; otherwise temporary.")] = None,
    port: Annotated[int | None, typer.Option(help="Port on 127.0.0.1; a free one by default.")] = None,
    partitions: Annotated[int, typer.Option(help="Partitions of topics created without a number.")] = 4,
) -> None:
    """Run a real Apache Kafka on this machine until Ctrl-C; needs neither Docker nor Java (extra `local`)."""
    from stream_app.broker import run

    run(data, port=port, partitions=partitions)
