"""`python -m tests.kafka.slow_worker TIMES`: a worker whose model does everything so many times."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import Any

from fusion.features import FeatureBatch, PredictionBatch
from fusion.scorer import Scorer
from stream_app.demo.stack import peak_mib
from stream_app.logs import configure
from stream_app.settings import load
from stream_app.worker.worker import Worker

log = logging.getLogger("slow_worker")


def slow_down(times: int) -> None:
    """Every call of the model from here on; the first says how much memory the worker held before it."""
    score = Scorer.score
    called = False

    def slowly(self: Scorer, features: FeatureBatch, *args: Any, **more: Any) -> PredictionBatch:
        nonlocal called
        if not called and len(features):
            called = True
            log.info("first call", extra={"mib": peak_mib(os.getpid())})
        for _ in range(times - 1):
            score(self, features, *args, **more)
        return score(self, features, *args, **more)

    Scorer.score = slowly  # type: ignore[method-assign]


def main() -> None:
    slow_down(int(sys.argv[1]))
    settings = load()
    configure(settings.log.format, settings.log.level)
    asyncio.run(Worker(settings).run())
    sys.stdout.flush()
    os._exit(0)  # as `stream-app worker` ends


if __name__ == "__main__":
    main()
