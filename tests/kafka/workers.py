"""Running workers under test: start, kill, feed, account. Everything real."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from stream_app.cli.produce import send
from stream_app.demo.stack import WorkerProcess, worker_environment
from stream_app.outputs.topics import TopicNames
from stream_app.producers.account import Account, accepted, account
from stream_app.producers.publish import Encoded, Speed, encode
from stream_app.producers.recount import compare_windows, recount
from stream_app.records import RecordLike
from stream_app.settings import Settings
from stream_app.settings import load as load_settings
from stream_app.transport import admin
from stream_app.transport.log_reader import read_all

QUICK = {"STATE__IDLE_INPUT_MS": "1000", "BROKER__SESSION_TIMEOUT_MS": "6000", "LOG__LEVEL": "INFO"}


@dataclass
class System:
    """One pipeline under its own prefix on a shared broker."""

    settings: Settings
    folder: Path
    more: dict[str, str] = field(default_factory=dict)
    workers: list[WorkerProcess] = field(default_factory=list)

    @property
    def names(self) -> TopicNames:
        return TopicNames(self.settings.topics.prefix)

    async def create_topics(self) -> None:
        await admin.create(self.settings.broker, admin.plans(self.settings.topics))

    def start_worker(self) -> WorkerProcess:
        log = self.folder / f"worker-{len(self.workers)}.log"
        worker = WorkerProcess(log, worker_environment(self.settings, **QUICK, **self.more))
        worker.start()
        self.workers.append(worker)
        return worker

    def stop(self) -> None:
        for worker in self.workers:
            if worker.process is not None and worker.process.poll() is None:
                worker.stop()

    async def send(self, stream: Iterable[Encoded], speed: str = "max") -> int:
        return await send(self.settings, stream, Speed.parse(speed))

    async def read(self, *topics: str) -> list[RecordLike]:
        """Everything committed on the topics (names without prefix)."""
        partitions = self.settings.topics.partitions
        return await read_all(self.settings.broker, [(self.names[t], p) for t in topics for p in range(partitions)])

    async def account(self, *, deadline_s: float = 120) -> Account:
        """The account once it balances, or as it is at the deadline."""
        inputs = await self.read("clicks", "searches", "reviews", "voice-transcripts")
        until_s = time.monotonic() + deadline_s
        while True:
            result = account(inputs, await self.read("predictions", "late-events", "dead-letters"))
            if result.balanced or time.monotonic() > until_s:
                return result
            await asyncio.sleep(0.5)

    async def predictions(self) -> int:
        return len(await self.read("predictions"))

    async def window_differences(self, *, until_ms: int, deadline_s: float = 60) -> list[str]:
        """Final engagement records against a brute-force recount of the accepted input."""
        inputs = await self.read("clicks", "searches", "reviews", "voice-transcripts")
        aside = await self.read("late-events", "dead-letters")
        counted = recount(accepted(inputs, aside), self.settings.state)
        until_s = time.monotonic() + deadline_s
        while True:
            finals = [orjson.loads(r.value or b"") for r in await self.read("engagement")]
            differences = compare_windows(finals, counted, until_ms=until_ms)
            if not differences or time.monotonic() > until_s:
                return differences
            await asyncio.sleep(1)


def settings_for(url: str, prefix: str, folder: Path, *, partitions: int = 4) -> Settings:
    """Settings of a system under test."""
    settings = load_settings(
        broker__url=url,
        topics__prefix=prefix,
        topics__partitions=partitions,
        pipeline__name=prefix.rstrip("."),
        web__port=0,
    )
    return settings.model_copy(update={"data_dir": folder})


async def kill(worker: WorkerProcess) -> None:
    """kill -9 of the process that works; its supervisor starts another."""
    processes = await until(lambda: len(found := worker.children()) > 1 and found)
    os.kill(processes[1], signal.SIGKILL)


async def until(condition: Callable[[], Any], *, deadline_s: float = 60, every_s: float = 0.2) -> Any:
    """The first true answer (awaited if need be); AssertionError at the deadline."""
    until_s = time.monotonic() + deadline_s
    while True:
        answer = condition()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return answer
        assert time.monotonic() < until_s, "it did not come true in time"
        await asyncio.sleep(every_s)


def url_of(worker: WorkerProcess) -> str | None:
    """Where the worker serves HTTP, from its log; of the last start."""
    found = None
    for line in worker.log_file.read_text().splitlines():
        if '"message":"serving"' in line:
            found = orjson.loads(line)["url"]
    return found


def get(url: str) -> tuple[int, bytes]:
    """Status and body."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def last_words(time_ms: int, users: Iterable[str]) -> list[Encoded]:
    """One event of every type for each user, far behind all others: the watermark passes every window before it."""
    bodies: dict[str, dict[str, Any]] = {
        "clicks": {"action": "view", "product_id": "end"},
        "searches": {"query": "end"},
        "reviews": {"product_id": "end", "rating": 3},
        "voice-transcripts": {"transcript": "end"},
    }
    return [
        encode(kind, {"event_id": f"end-{kind}-{user}", "event_time": time_ms, "user_id": user, **body})
        for user in users
        for kind, body in bodies.items()
    ]


def one_user_per_partition(partitions: int) -> list[str]:
    """Names that lie on every partition."""
    from stream_app.worker.routing import partition_of

    found: dict[int, str] = {}
    number = 0
    while len(found) < partitions:
        found.setdefault(partition_of(f"end{number}".encode(), partitions), f"end{number}")
        number += 1
    return list(found.values())
