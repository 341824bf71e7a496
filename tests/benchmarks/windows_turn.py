"""One turn of one system: it starts on a topic that is full, answers every event, and is measured from outside."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_app.records import RecordLike
from stream_app.settings import Broker
from stream_app.transport import admin
from stream_app.transport.log_reader import LogReader
from tests.benchmarks.processes import Watch
from tests.benchmarks.windows_truth import Expected, judge

WARM = 0.1
"""Share of a turn's outputs that is left out at the beginning: code compiles, caches fill, connections open."""
POLL_S = 0.25
End = Literal["all", "time", "ended"]
STALLED_S = 40.0
"""A system whose outputs do not grow for so long has lost the rest."""


@dataclass(frozen=True)
class System:
    """How a system is started: `{broker}`, `{source}`, `{output}`, `{name}` and `{folder}` go in as environment."""

    name: str
    command: Sequence[str]
    guarantee: str
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Turn:
    """What one turn showed. CPU is of the process tree alone."""

    events: int
    complete: bool
    cpu_us_per_event: float
    with_start_us_per_event: float
    """From the start of the process, imports included, to the last output."""
    broker_us_per_event: float
    events_per_s: float
    peak_mib: float
    wrong: int
    first_output_s: float

    def less_start_us(self, start_cpu_s: float) -> float:
        """CPU per event of the whole turn, no warm-up left out, without what starting takes on an empty topic.

        Kinder to nobody: what a system fetches before its first outputs counts here.
        """
        return self.with_start_us_per_event - start_cpu_s / self.events * 1e6


class Running:
    """A system at work, in its own process group."""

    def __init__(self, system: System, broker: Broker, *, source: str, output: str, name: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        values = {
            "BENCH_BROKER": broker.url, "BENCH_SOURCE": source, "BENCH_OUTPUT": output, "BENCH_NAME": name,
            "BENCH_FOLDER": str(folder), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore",
        }  # fmt: skip
        self.log_file = folder / "system.log"
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [part.format(broker=broker.url, source=source, output=output, name=name, folder=folder)
                 for part in system.command],
                env=os.environ | values | dict(system.environment), stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.pid = self._process.pid

    def alive(self) -> bool:
        """It has not ended by itself."""
        return self._process.poll() is None

    def stop(self) -> None:
        """SIGTERM, then SIGKILL to the whole group."""
        if self.alive():
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(8)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


async def create_topic(broker: Broker, name: str, partitions: int) -> None:
    """A topic whose records bear the broker's own time."""
    await admin.create(broker, [admin.TopicPlan(name, partitions, 1, {"message.timestamp.type": "LogAppendTime"})])


async def turn(
    system: System, broker: Broker, broker_pid: int, *, source: str, partitions: int, expected: Expected,
    folder: Path, name: str, limit_s: float,
) -> Turn:  # fmt: skip
    """Let the system drain the topic, at most for `limit_s`; then check every output."""
    output = f"{name}-output"
    await create_topic(broker, output, partitions)
    started_s = time.time()
    running = Running(system, broker, source=source, output=output, name=name, folder=folder)
    try:
        with Watch([running.pid, broker_pid]) as watch:
            end = await _reach(broker, output, partitions, len(expected), running, limit_s)
            outputs = await _read(broker, output, partitions, len(expected) if end == "all" else 0)
    finally:
        running.stop()
    if len(outputs) < 100:
        lines = running.log_file.read_text(errors="replace").strip().splitlines()
        raise RuntimeError(f"{system.name} gave {len(outputs)} outputs: {lines[-1] if lines else 'it said nothing'}")
    verdict = judge(expected, outputs, complete=end != "time")
    made_s = np.sort(np.array([record.timestamp for record in outputs])) / 1000
    begin = int(len(made_s) * WARM)
    from_s, until_s = float(made_s[begin]), float(made_s[-1]) + 0.05
    counted = int((made_s > from_s).sum())
    return Turn(
        events=verdict.outputs,
        complete=end == "all",
        cpu_us_per_event=watch.cpu_s(0, from_s, until_s) / counted * 1e6,
        with_start_us_per_event=watch.cpu_s(0, started_s, until_s) / len(outputs) * 1e6,
        broker_us_per_event=watch.cpu_s(1, from_s, until_s) / counted * 1e6,
        events_per_s=counted / (until_s - from_s),
        peak_mib=watch.peak_mib[0],
        wrong=verdict.wrong,
        first_output_s=float(made_s[0]) - started_s,
    )


async def _reach(broker: Broker, output: str, partitions: int, events: int, running: Running, limit_s: float) -> End:
    """Wait until the output topic holds so many records."""
    until_s = time.monotonic() + limit_s
    most, grown_s = 0, time.monotonic()
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.url, isolation_level="read_committed")
    await consumer.start()
    try:
        while time.monotonic() < until_s:
            held = sum((await consumer.end_offsets([TopicPartition(output, p) for p in range(partitions)])).values())
            if held >= events:
                return "all"
            if held > most:
                most, grown_s = held, time.monotonic()
            if not running.alive() or time.monotonic() - grown_s > STALLED_S:
                return "ended"
            await asyncio.sleep(POLL_S)
    finally:
        await consumer.stop()
    return "time"


async def _read(broker: Broker, output: str, partitions: int, at_least: int) -> list[RecordLike]:
    """What was committed; the last transactions may still be on their way."""
    reader = LogReader(broker, [(output, p) for p in range(partitions)])
    await reader.start()
    try:
        found = [record async for chunk in reader.to_end() for record in chunk]
        until_s = time.monotonic() + 10
        while len(found) < at_least and time.monotonic() < until_s:
            found += await reader.fetch()
        return found
    finally:
        await reader.stop()
