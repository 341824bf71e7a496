"""An embedded broker, a worker in its own process, and what comes out of them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from stream_app.broker import EmbeddedBroker
from stream_app.errors import DependencyError
from stream_app.outputs.topics import TopicNames
from stream_app.producers.account import Account, account
from stream_app.records import RecordLike
from stream_app.settings import Settings
from stream_app.transport.log_reader import LogReader, read_all

READY_S = 90.0
STALLED_S = 60.0
STOP_S = 12.0


@dataclass
class WorkerProcess:
    """A supervised worker as a child process; its log goes to a file."""

    log_file: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stream_app", "worker"], env=self.environment, stdout=log, stderr=log
            )

    def children(self) -> list[int]:
        """Process ids: the supervisor's and its worker's."""
        if self.process is None:
            return []
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [self.process.pid, *map(int, listed.split())]

    def check(self) -> None:
        """DependencyError with the log's last line when it has ended."""
        if self.process is not None and self.process.poll() is not None:
            lines = self.log_file.read_text(errors="replace").strip().splitlines()
            raise DependencyError(f"the worker ended: {lines[-1] if lines else self.process.returncode}")

    def stop(self) -> None:
        """SIGTERM, then SIGKILL."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def worker_environment(settings: Settings, **more: str) -> dict[str, str]:
    """The environment that gives a worker process these settings."""
    values = {
        "BROKER__URL": settings.broker.url,
        "TOPICS__PREFIX": settings.topics.prefix,
        "TOPICS__PARTITIONS": str(settings.topics.partitions),
        "PIPELINE__NAME": settings.pipeline.name,
        "INSIGHTS__WINDOW_MS": str(settings.insights.window_ms),
        "WEB__HOST": settings.web.host,
        "WEB__PORT": str(settings.web.port),
        "DATA_DIR": str(settings.data_dir),
        "LOG__FORMAT": settings.log.format,
        **more,
    }
    return os.environ | {f"STREAM_APP_{key}": value for key, value in values.items()}


@asynccontextmanager
async def stack(settings: Settings) -> AsyncIterator[tuple[EmbeddedBroker, WorkerProcess, Settings]]:
    """A broker and a worker; the settings come back with the broker's address."""
    broker = EmbeddedBroker(partitions=settings.topics.partitions)
    await asyncio.to_thread(broker.start)
    try:
        with_broker = settings.model_copy(update={"broker": settings.broker.model_copy(update={"url": broker.url})})
        worker = WorkerProcess(broker.data / "worker.log", worker_environment(with_broker))
        worker.start()
        try:
            yield broker, worker, with_broker
        finally:
            await asyncio.to_thread(worker.stop)
    finally:
        await asyncio.to_thread(broker.close)


class Outputs:
    """Follows the predictions of a run."""

    def __init__(self, settings: Settings) -> None:
        names = TopicNames(settings.topics.prefix)
        self._settings = settings
        self._inputs = [(name, p) for name in names.inputs for p in range(settings.topics.partitions)]
        self._outputs = [
            (name, p)
            for name in (names.predictions, names.late_events, names.dead_letters)
            for p in range(settings.topics.partitions)
        ]
        self._reader = LogReader(settings.broker, self._outputs)

    async def start(self) -> None:
        """Connect; the topics must exist."""
        await self._reader.start()

    async def stop(self) -> None:
        """Disconnect."""
        await self._reader.stop()

    async def fetch(self) -> list[RecordLike]:
        """What has come out since the last call."""
        return await self._reader.fetch()

    async def settle(self, worker: WorkerProcess) -> Account:
        """The account once it balances, or as it is when nothing has moved for a while."""
        inputs = await read_all(self._settings.broker, self._inputs)
        moved_s, before = time.monotonic(), -1
        while True:
            outputs = await read_all(self._settings.broker, self._outputs)
            result = account(inputs, outputs)
            if result.balanced or time.monotonic() - moved_s > STALLED_S:
                return result
            if len(outputs) != before:
                before, moved_s = len(outputs), time.monotonic()
            worker.check()
            await asyncio.sleep(0.5)


async def first_prediction(outputs: Outputs, worker: WorkerProcess, started_s: float) -> tuple[float, RecordLike]:
    """Wait for it; seconds since `started_s`, and the record."""
    while True:
        for record in await outputs.fetch():
            if record.topic.endswith("predictions"):
                return time.monotonic() - started_s, record
        worker.check()
        if time.monotonic() - started_s > READY_S:
            raise DependencyError(f"no prediction within {READY_S:.0f} s; see {worker.log_file}")


def peak_mib(*pids: int) -> float:
    """Peak resident memory of the processes together, MiB (Linux)."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                total += int(line.split()[1])
    return round(total / 1024, 1)
