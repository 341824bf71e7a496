"""Work `serving`: how soon the HTTP API answers while the worker scores events at a pace.

A request's time runs from when it was due, so that one that had to wait for the one before it counts in full.
"""

from __future__ import annotations

import asyncio
import http.client
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import numpy as np

from stream_app.broker import EmbeddedBroker
from stream_app.demo.stack import WorkerProcess, worker_environment
from tests.benchmarks.processes import cpu_s
from tests.kafka.workers import System, settings_for, until, url_of

WARM_S = 6.0
ROUTED = {"X-Routed": "1"}
"""With it a worker answers from its own state alone."""
Times = list[float]


def serving(*, rate: int, asks: float, seconds: float, partitions: int) -> dict[str, Any]:
    """p50 and p99 in ms per kind of question, `asks` of each per second, under `rate` events per second."""
    with TemporaryDirectory() as folder, EmbeddedBroker(partitions=partitions) as broker:
        settings = settings_for(broker.url, "serving.", Path(folder), partitions=partitions)
        system = System(settings, Path(folder))
        asyncio.run(system.create_topics())
        first = system.start_worker()
        try:
            asyncio.run(_assigned(first))
            with sending(worker_environment(settings), rate):
                return {"events_per_s": rate, "asks_per_s": asks, **_both(system, first, asks, seconds)}
        finally:
            system.stop()


def _both(system: System, first: WorkerProcess, asks: float, seconds: float) -> dict[str, Any]:
    """The worker that has all users, then one that passes on the questions about another's."""
    time.sleep(WARM_S)
    users = sorted({(r.key or b"").decode() for r in asyncio.run(system.read("predictions"))})
    url = url_of(first) or ""
    began = _spent(first)
    alone = _measure(url, users, asks, seconds, ("users", "recommendations", "insights"))
    cores = round((_spent(first) - began) / seconds, 2)
    second = system.start_worker()
    asyncio.run(_assigned(second))
    theirs = asyncio.run(until(lambda: _elsewhere(url, users), deadline_s=60, every_s=1.0))
    time.sleep(WARM_S)  # the new worker has caught up, and made its first answers
    routed = _measure(url, theirs, asks, seconds, ("users", "recommendations"))
    return {"cores": cores, **alone, **{f"routed {kind}": figures for kind, figures in routed.items()}}


@contextmanager
def sending(environment: dict[str, str], rate: int, *more: str) -> Iterator[None]:
    """Shoppers meanwhile, from a process of their own."""
    command = [sys.executable, "-m", "stream_app", "simulate", "--speed", f"{rate}/s", "--users", "2000", *more]
    sender = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        sender.terminate()
        sender.wait()


async def _assigned(worker: WorkerProcess) -> None:
    def ready() -> bool:
        worker.check()
        return '"assigned"' in worker.log_file.read_text()

    await until(ready, deadline_s=120)


def _spent(worker: WorkerProcess) -> float:
    assert worker.process is not None
    return cpu_s(worker.process.pid)


def _measure(
    url: str, users: Sequence[str], asks: float, seconds: float, kinds: Sequence[str]
) -> dict[str, dict[str, float]]:
    """All kinds at once, each on a thread and a connection of its own."""
    taken: dict[str, Times] = {kind: [] for kind in kinds}

    def path(kind: str, dice: random.Random) -> str:
        return "/v1/insights" if kind == "insights" else f"/v1/{kind}/{quote(dice.choice(users), safe='')}"

    def run(number: int, kind: str) -> None:
        dice = random.Random(number)
        _paced(url, lambda: path(kind, dice), asks, seconds, taken[kind], offset=number / len(kinds))

    threads = [threading.Thread(target=run, args=one) for one in enumerate(kinds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {kind: _figures(times) for kind, times in taken.items()}


def _paced(url: str, path: Callable[[], str], asks: float, seconds: float, taken: Times, *, offset: float) -> None:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    start_s = time.perf_counter() + offset / asks
    for number in range(int(asks * seconds)):
        due_s = start_s + number / asks
        time.sleep(max(0.0, due_s - time.perf_counter()))
        connection.request("GET", path())
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"answer {answer.status}")
        taken.append(time.perf_counter() - due_s)
    connection.close()


def _figures(times: Times) -> dict[str, float]:
    p50, p99 = np.percentile(np.array(times) * 1000, [50, 99]).round(1).tolist()
    return {"p50_ms": p50, "p99_ms": p99, "most_ms": round(max(times) * 1000, 1), "n": len(times)}


def _elsewhere(url: str, users: Sequence[str]) -> list[str]:
    """Users whose state is not with this worker, once it can reach the one that has it."""
    paths = {user: f"/v1/users/{quote(user, safe='')}" for user in users[:200]}
    theirs = [user for user, path in paths.items() if _ask(url, path, ROUTED) == 404]
    return [user for user in theirs if _ask(url, paths[user], {}) == 200]


def _ask(url: str, path: str, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()
