"""`python -m stream_app.windows --source clicks --output click-windows`: count until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import logging
from pathlib import Path

from stream_app.settings import Broker
from stream_app.worker.windows import WindowSettings, WindowWorker


def main() -> None:
    """Read the command line and work."""
    parser = argparse.ArgumentParser(prog="python -m stream_app.windows", description=__doc__)
    parser.add_argument("--broker", default="127.0.0.1:9092", help="host:port, comma-separated")
    parser.add_argument("--name", default="windows", help="consumer group")
    parser.add_argument("--source", default="clicks", help="topic of clicks")
    parser.add_argument("--output", default="click-windows", help="topic of counts")
    parser.add_argument("--data-dir", type=Path, default=WindowSettings(Broker()).data_dir)
    parser.add_argument("--fetch-wait-ms", type=int, default=20, help="how long a fetch that finds little may wait")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    settings = WindowSettings(
        Broker(url=options.broker, fetch_max_wait_ms=options.fetch_wait_ms),
        name=options.name,
        source=options.source,
        output=options.output,
        data_dir=options.data_dir,
    )
    asyncio.run(WindowWorker(settings).run())


if __name__ == "__main__":
    main()
