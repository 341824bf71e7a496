"""`stream-app broker`: an embedded broker in the foreground until it is told to stop."""

import signal
import sys
import time
from functools import partial
from pathlib import Path

from stream_app.broker.embedded import EmbeddedBroker
from stream_app.errors import DependencyError


def run(data: Path | None = None, *, port: int | None = None, partitions: int = 4) -> None:
    """Start a broker, print its URL on stdout, and stop it cleanly on SIGINT or SIGTERM (main thread only)."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    notify = partial(print, file=sys.stderr, flush=True)
    try:
        with EmbeddedBroker(data, port=port, partitions=partitions, notify=notify) as broker:
            sys.stdout.write(f"{broker.url}\n")
            sys.stdout.flush()
            while broker.alive():
                time.sleep(0.2)
            raise DependencyError(f"the embedded broker ended by itself: see {broker.log_file}")
    except KeyboardInterrupt:
        return
