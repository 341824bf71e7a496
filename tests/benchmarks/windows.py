"""Work `windows`: per-user 5-minute event-time windows, one output per event, state that survives; us and the peers on
one topic in one run, in turns."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from stream_app.broker import EmbeddedBroker
from stream_app.settings import Broker
from stream_app.transport.loader import Loader
from stream_app.transport.log_reader import read_all
from tests.benchmarks.peers.installed import AbsentError, peer
from tests.benchmarks.windows_pace import Pace, paced
from tests.benchmarks.windows_truth import SIZE_MS, Expected, clicks, truth
from tests.benchmarks.windows_turn import System, Turn, create_topic, turn

OURS = System(
    "ours",
    (sys.executable, "-m", "stream_app.windows", "--broker", "{broker}", "--name", "{name}", "--source", "{source}",
     "--output", "{output}", "--data-dir", "{folder}"),
    "exactly once: outputs, changelog and offsets in one transaction",
)  # fmt: skip
PEERS = ("aiokafka", "bytewax", "kafka-streams", "kafka-streams-at-least-once", "quix", "quix-at-least-once",
         "faust-take", "faust")  # fmt: skip


def windows(
    *, events: int, partitions: int, turns: int, peers: Sequence[str], limit_s: float, seconds: float, rate: int
) -> dict[str, Any]:
    """The figures of every system; a peer that cannot be had is listed with the reason."""
    with TemporaryDirectory() as folder, EmbeddedBroker(partitions=partitions) as embedded:
        assert embedded.pid is not None
        broker = Broker(url=embedded.url)
        systems, absent = [OURS], {}
        for name in peers:
            try:
                systems.append(peer(name))
            except AbsentError as error:
                absent[name] = {"absent": str(error)}
        measured = asyncio.run(
            _measure(systems, broker, embedded.pid, Path(folder), events, partitions, turns, limit_s, seconds, rate)
        )
    ours = measured.pop("ours")
    for figures in measured.values():
        if "cpu_us_per_event" in figures and ours.get("cpu_us_per_event"):
            figures["times_ours"] = round(figures["cpu_us_per_event"] / ours["cpu_us_per_event"], 1)
    return {
        "work": "windows",
        "events": events,
        "turns": turns,
        "warm_up": "the first tenth of a turn's outputs; the first 3 s of a pace",
        "ours": ours,
        "peers": {**measured, **absent},
    }


async def fill(broker: Broker, topic: str, events: int, partitions: int) -> Expected:
    """The input topic, and the truth as the topic itself tells it."""
    await create_topic(broker, topic, partitions)
    loader = Loader(broker)
    await loader.start()
    first_ms = (time.time_ns() // 1_000_000 - 2 * 5 * SIZE_MS) // SIZE_MS * SIZE_MS
    batch = []
    try:
        for record in clicks(topic, events, first_ms=first_ms):
            batch.append(record)
            if len(batch) == 20_000:
                await loader.send(batch)
                batch = []
        await loader.send(batch)
    finally:
        await loader.stop()
    return truth(await read_all(broker, [(topic, p) for p in range(partitions)]))


async def _measure(
    systems: Sequence[System], broker: Broker, broker_pid: int, folder: Path, events: int, partitions: int,
    turns: int, limit_s: float, seconds: float, rate: int,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    expected = await fill(broker, "clicks", events, partitions)
    done: dict[str, list[Turn]] = {system.name: [] for system in systems}
    failed: dict[str, str] = {}
    for at in range(turns):
        for system in systems:
            if system.name in failed:
                continue
            name = f"{system.name}-{at}"
            _say(f"turn {at + 1} of {turns}: {system.name}")
            try:
                one = await turn(
                    system, broker, broker_pid, source="clicks", partitions=partitions, expected=expected,
                    folder=folder / name, name=name, limit_s=limit_s,
                )  # fmt: skip
            except RuntimeError as error:
                if system.name == "ours":
                    raise
                failed[system.name] = str(error)
                continue
            _say(f"  {one.cpu_us_per_event:.1f} µs CPU, {one.events_per_s:,.0f} events/s, {one.wrong} wrong")
            done[system.name].append(one)
    paces: dict[str, Pace] = {}
    for system in systems:
        if seconds and done[system.name] and system.name not in failed:
            _say(f"at {rate} events/s: {system.name}")
            name = f"{system.name}-paced"
            paces[system.name] = await paced(
                system, broker, partitions=partitions, rate=rate, seconds=seconds, folder=folder / name, name=name
            )
    return {
        system.name: figures(system, done[system.name], paces.get(system.name))
        if done[system.name]
        else {"absent": failed[system.name]}
        for system in systems
    }


def figures(system: System, turns: Sequence[Turn], pace: Pace | None) -> dict[str, Any]:
    """Medians over the turns; errors add up."""

    def middle(field: str, digits: int) -> float:
        return round(median(getattr(one, field) for one in turns), digits)

    return {
        "cpu_us_per_event": middle("cpu_us_per_event", 2),
        "events_per_s": round(middle("events_per_s", 0)),
        "p50_ms": pace.p50_ms if pace else None,
        "p99_ms": pace.p99_ms if pace else None,
        "p99.9_ms": pace.p999_ms if pace else None,
        "peak_mib": round(max(one.peak_mib for one in turns)),
        "wrong": sum(one.wrong for one in turns) + (pace.wrong if pace else 0),
        "broker_cpu_us_per_event": middle("broker_us_per_event", 2),
        "cpu_us_per_event_with_start": middle("with_start_us_per_event", 2),
        "cpu_us_per_event_less_start": round(median(one.less_start_us(pace.start_cpu_s) for one in turns), 2)
        if pace
        else None,
        "first_output_s": middle("first_output_s", 2),
        "checked": sum(one.events for one in turns) + (pace.outputs if pace else 0),
        "complete": all(one.complete for one in turns),
        "guarantee": system.guarantee,
        "turns": [asdict(one) for one in turns],
        **({"pace": asdict(pace)} if pace else {}),
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
