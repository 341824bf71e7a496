"""Hours in minutes: half of what a worker can do, for long; does memory grow, does the tail of the latency stay?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orjson

from stream_app.cli.produce import send
from stream_app.producers.publish import Encoded, Speed, encode
from stream_app.producers.simulate import simulate
from stream_app.transport.log_reader import LogReader
from tests.benchmarks.processes import resident_mib
from tests.benchmarks.running import Running, running
from tests.kafka.workers import until

START_MS = 1_700_000_000_000
BACKLOG = 200_000
"""Events sent at once and read back at the start: they warm everything up, and say what the capacity is while sender
and reader take their part of the machine, as they do later."""
USERS = 2_000
MINUTE_S = 60.0
SAMPLED_S = 5.0

Told = Callable[[str], object]


def soak(*, minutes: int, partitions: int, rate: int | None = None, told: Told = lambda _: None) -> dict[str, Any]:
    """Figures per minute; growth and drift compare the last third with the third before it, after the first."""
    with running("soak", partitions=partitions) as found:
        return asyncio.run(_soak(found, minutes, rate, told))


async def _soak(found: Running, minutes: int, rate: int | None, told: Told) -> dict[str, Any]:
    system, pids = found.system, found.pids
    await found.assigned()
    names, numbers = system.names, range(system.settings.topics.partitions)
    reader = LogReader(system.settings.broker, [(names.predictions, p) for p in numbers])
    await reader.start()
    stream = Stream()
    following = asyncio.create_task(_follow(reader, stream))
    began_s = time.monotonic()
    await system.send(stream.take(BACKLOG))
    await until(system.consumed, deadline_s=600)
    capacity = BACKLOG / (time.monotonic() - began_s)
    rate = rate or int(capacity / 2)
    told(f"{capacity:.0f} events/s at full speed; {rate}/s for {minutes} minutes")
    stream.forget()
    speed, figures = Speed.parse(f"{rate}/s"), []
    sending = asyncio.create_task(send(system.settings, stream.take(int(rate * minutes * MINUTE_S)), speed))
    while len(figures) < minutes:
        figures.append(await _minute(stream, pids))
        told(f"minute {len(figures)}: {figures[-1]}")
    await sending
    following.cancel()
    await asyncio.wait([following])
    await reader.stop()
    account = await system.account(deadline_s=300)
    third = minutes // 3
    before, last = figures[third : 2 * third] or figures, figures[2 * third :]
    return {
        "minutes": minutes,
        "capacity": round(capacity),
        "rate": rate,
        "events": account.inputs,
        "wrong": account.lost + account.repeated + account.unknown,
        "growth_percent": _change(before, last, "worker_mib"),
        "p99_change_percent": _change(before, last, "p99_ms"),
        **{name: [figure[name] for figure in figures] for name in figures[0]},
    }


class Stream:
    """Shoppers without end, and when each event that waits for its prediction was sent."""

    def __init__(self) -> None:
        self._events = simulate(users=USERS, seed=5, start_ms=START_MS, images=False)
        self._sent_s: dict[str, float] = {}
        self._taken_ms: list[float] = []

    def take(self, events: int) -> Iterator[Encoded]:
        """The next ones."""
        for _ in range(events):
            kind, record = next(self._events)
            self._sent_s.setdefault(record["event_id"], time.monotonic())
            yield encode(kind, record)

    def seen(self, event_id: str) -> None:
        """Its prediction is there."""
        sent_s = self._sent_s.pop(event_id, None)
        if sent_s is not None:
            self._taken_ms.append((time.monotonic() - sent_s) * 1000)

    def latencies_ms(self) -> list[float]:
        """Those since the last call; what has no prediction after a minute (a duplicate, a partial) is forgotten."""
        taken_ms, self._taken_ms = self._taken_ms, []
        old_s = time.monotonic() - MINUTE_S
        self._sent_s = {event: sent_s for event, sent_s in self._sent_s.items() if sent_s > old_s}
        return taken_ms

    def forget(self) -> None:
        """Begin to measure."""
        self._sent_s.clear()
        self._taken_ms.clear()


async def _follow(reader: LogReader, stream: Stream) -> None:
    while True:
        for record in await reader.fetch(timeout_ms=100):
            stream.seen(orjson.loads(record.value or b"")["event_id"])


async def _minute(stream: Stream, pids: tuple[int, int]) -> dict[str, float]:
    """Latency and the median of the memory over a minute."""
    samples = []
    for _ in range(int(MINUTE_S / SAMPLED_S)):
        await asyncio.sleep(SAMPLED_S)
        samples.append([resident_mib(pid) for pid in pids])
    worker_mib, broker_mib = np.median(samples, axis=0).round(1).tolist()
    taken_ms = stream.latencies_ms()
    p50, p99 = np.percentile(taken_ms, [50, 99]).round(1).tolist() if taken_ms else (0.0, 0.0)
    return {"p50_ms": p50, "p99_ms": p99, "n": len(taken_ms), "worker_mib": worker_mib, "broker_mib": broker_mib}


def _change(before: list[dict[str, float]], last: list[dict[str, float]], name: str) -> float:
    first, second = (float(np.median([figure[name] for figure in part])) for part in (before, last))
    return round(100 * (second / first - 1), 2)
