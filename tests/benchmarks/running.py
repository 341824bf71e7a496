"""A worker at work on topics of its own, for as long as a figure takes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from stream_app.broker import EmbeddedBroker
from stream_app.demo.stack import WorkerProcess, worker_environment
from tests.kafka.workers import System, settings_for, until


class Running(NamedTuple):
    """One worker and its broker; `pids` of both in this order."""

    system: System
    worker: WorkerProcess
    pids: tuple[int, int]

    async def assigned(self) -> None:
        """Once it has its partitions."""
        await until(lambda: '"assigned"' in self.worker.log_file.read_text(), deadline_s=120)


@contextmanager
def running(name: str, *, partitions: int) -> Iterator[Running]:
    """Started; stopped and gone at the end."""
    with TemporaryDirectory() as folder, EmbeddedBroker(partitions=partitions) as broker:
        settings = settings_for(broker.url, f"{name}.", Path(folder), partitions=partitions)
        system = System(settings, Path(folder))
        asyncio.run(system.create_topics())
        worker = WorkerProcess(Path(folder) / "worker.log", worker_environment(settings))
        worker.start()
        assert worker.process is not None
        assert broker.pid is not None
        try:
            yield Running(system, worker, (worker.process.pid, broker.pid))
        finally:
            worker.stop()
