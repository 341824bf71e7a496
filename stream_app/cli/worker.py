"""`stream-app worker`."""

import os
import sys
from typing import Annotated

import typer

from stream_app.cli.options import Broker, Config


def worker(
    config: Config = None,
    broker: Broker = None,
    port: Annotated[int | None, typer.Option(help="HTTP port; 0 picks a free one.")] = None,
    web: Annotated[bool | None, typer.Option(help="Serve HTTP at all.")] = None,
    supervise: Annotated[bool, typer.Option(help="Start again after a crash, with a growing pause.")] = True,
) -> None:
    """Consume events, keep the users' state, publish predictions; run as many workers as you like."""
    from stream_app.logs import configure
    from stream_app.settings import load

    settings = load(config, broker__url=broker, web__port=port, web__enabled=web)
    configure(settings.log.format, settings.log.level)
    if supervise:
        from stream_app.worker.supervisor import supervise as keep

        arguments = [arg for arg in sys.argv[1:] if arg != "--supervise"]
        sys.exit(keep([sys.executable, "-m", "stream_app", *arguments, "--no-supervise"]))
    import asyncio

    from stream_app.worker.worker import Worker

    async def main() -> None:
        await Worker(settings).run()

    asyncio.run(main())
    sys.stdout.flush()
    os._exit(0)  # Faust's threads end with the process; everything is committed and closed
