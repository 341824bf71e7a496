"""Work `workers`: one worker and two drain the same backlog, which was sent while they stood still; what a second one
brings on as many cores as there are."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from stream_app.broker import EmbeddedBroker
from stream_app.demo.stack import WorkerProcess, worker_environment
from tests.benchmarks.full import scraped, stream
from tests.benchmarks.processes import Watch
from tests.benchmarks.restore import said
from tests.kafka.workers import QUICK, System, settings_for, until, url_of

WARM, TAIL = 0.15, 0.95
"""Of the predictions, between which the figures are taken."""
OUTPUTS = ("predictions", "late-events", "dead-letters")
PATIENT = QUICK | {"BROKER__SESSION_TIMEOUT_MS": "45000"}
"""A worker keeps its partitions while the backlog is sent."""


def workers(*, events: int, partitions: int) -> dict[str, Any]:
    """Figures of one, of two, and the ratio of their rates."""
    one, two = (_drained(count, events=events, partitions=partitions) for count in (1, 2))
    return {
        "ratio": round(two["events_per_s"] / one["events_per_s"], 2),
        "cores_of_the_machine": len(os.sched_getaffinity(0)),
        "one": one,
        "two": two,
    }


def _drained(count: int, *, events: int, partitions: int) -> dict[str, Any]:
    with TemporaryDirectory() as folder, EmbeddedBroker(partitions=partitions) as broker:
        settings = settings_for(broker.url, "workers.", Path(folder), partitions=partitions)
        system = System(settings, Path(folder))
        asyncio.run(system.create_topics())
        running = [
            WorkerProcess(Path(folder) / f"worker-{at}.log", worker_environment(settings, **PATIENT))
            for at in range(count)
        ]
        try:
            for worker in running:
                worker.start()
            asyncio.run(until(lambda: _shared(running, partitions), deadline_s=180))
            pids = [worker.process.pid for worker in running if worker.process is not None]
            assert broker.pid is not None
            backlog = list(stream("simulator", None, events=events))
            with Watch([broker.pid, *pids]) as watch:
                with frozen(running):
                    sent = asyncio.run(system.send(backlog))
                asyncio.run(until(lambda: _verdicts(running) >= sent, deadline_s=900, every_s=1.0))
        finally:
            for worker in running:
                worker.stop()
        result = asyncio.run(system.account())
        made_s = np.sort([record.timestamp for record in asyncio.run(system.read(*OUTPUTS))]) / 1000
    first, last = int(len(made_s) * WARM), int(len(made_s) * TAIL)
    from_s, until_s, counted = made_s[first], made_s[last], last - first
    seconds = until_s - from_s
    each = [watch.cpu_s(at, from_s, until_s) for at in range(count + 1)]
    return {
        "events_per_s": round(counted / seconds),
        "worker_cpu_us_per_event": round(sum(each[1:]) / counted * 1e6, 1),
        "broker_cpu_us_per_event": round(each[0] / counted * 1e6, 1),
        "worker_cores": [round(cpu / seconds, 2) for cpu in each[1:]],
        "broker_cores": round(each[0] / seconds, 2),
        "seconds": round(seconds, 2),
        "counted": counted,
        "sent": sent,
        "wrong": result.lost + result.repeated + result.unknown,
    }


@contextmanager
def frozen(running: Sequence[WorkerProcess]) -> Iterator[None]:
    """They stand still: connections stay, nobody answers."""
    pids = [pid for worker in running for pid in worker.children()[1:]]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _verdicts(running: list[WorkerProcess]) -> float:
    """Inputs that the workers have dealt with."""
    total = 0.0
    for worker in running:
        worker.check()
        found = scraped(url_of(worker) or "")
        total += sum(n for (name, _), n in found.items() if name == "behavior_verdicts_total")
    return total


def _shared(running: list[WorkerProcess], partitions: int) -> bool:
    """Every worker has its part of the partitions, by the last word of each."""
    last = []
    for worker in running:
        worker.check()
        if not (told := said(worker, "assigned")):
            return False
        last.append(len(told[-1]["partitions"]))
    return sum(last) == partitions and min(last) > 0
