"""The audit explains every offset of an honest run, and names those that a dishonest worker skipped."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from stream_app.audit.run import audit, parity
from stream_app.demo.stack import worker_environment
from stream_app.producers.bad_input import with_bad
from stream_app.producers.publish import Encoded, encode
from stream_app.producers.simulate import simulate
from stream_app.transport import admin
from tests.kafka.workers import QUICK, System, until

START_MS = 1_700_000_000_000
SKIP_THE_LAST_OF_EACH_FETCH = """
from dataclasses import replace
from stream_app.worker.task import Task
honest = Task._decode
def dishonest(self, at, records, ack):
    arrival = honest(self, at, records, ack)
    if len(arrival.events) > 1:
        arrival = replace(arrival, events=arrival.events.take(slice(0, -1)), records=arrival.records[:-1])
    return arrival
Task._decode = dishonest
from stream_app.cli import main
main()
"""


def shoppers(events: int) -> list[Encoded]:
    stream = (encode(*one) for one in simulate(users=100, seed=5, start_ms=START_MS, events=events, images=False))
    return list(with_bad(stream, 0.03, seed=5))


async def consumed(system: System) -> bool:
    """Everything sent is committed."""
    committed = await admin.committed(system.settings.broker, system.settings.pipeline.name)
    inputs = await system.read("clicks", "searches", "reviews", "voice-transcripts", "internal.repartition")
    ends: dict[tuple[str, int], int] = {}
    for record in inputs:
        ends[record.topic, record.partition] = record.offset + 1
    return all(committed.get(tp, 0) >= end for tp, end in ends.items())


@contextmanager
def dishonest_worker(system: System) -> Iterator[None]:
    command = [sys.executable, "-c", SKIP_THE_LAST_OF_EACH_FETCH, "worker", "--no-supervise"]
    with (system.folder / "dishonest.log").open("wb") as log:
        worker = subprocess.Popen(
            command, env=worker_environment(system.settings, **QUICK), stdout=log, stderr=log, cwd=os.getcwd()
        )
        try:
            yield
        finally:
            worker.terminate()
            worker.wait(30)


async def test_every_offset_of_an_honest_run_is_explained_and_its_features_made_again(system: System) -> None:
    await system.create_topics()
    before = await audit(system.settings)
    sent = await system.send(shoppers(1_500))
    waiting = await audit(system.settings)
    system.start_worker()
    await until(lambda: consumed(system), deadline_s=90)

    result = await audit(system.settings)
    features = await parity(system.settings)

    assert before["records"] == 0
    assert waiting["pending"] == waiting["records"] == sent
    assert result["records"] >= sent
    assert [result[name] for name in ("unexplained", "repeated", "unknown", "pending")] == [0, 0, 0, 0]
    assert min(result[name] for name in ("predicted", "duplicate", "dead_lettered")) > 0
    assert features["compared"] == result["predicted"]
    assert [features[name] for name in ("mismatch", "missing", "extra")] == [0, 0, 0]


async def test_a_worker_that_is_off_by_one_is_found_and_each_offset_named(system: System) -> None:
    await system.create_topics()
    with dishonest_worker(system):
        stream = shoppers(600)
        await system.send(stream[:300])
        await until(lambda: consumed(system), deadline_s=90)
        await system.send(stream[300:])
        await until(lambda: consumed(system), deadline_s=90)
    lost = (await system.account(deadline_s=1)).lost

    result = await audit(system.settings)

    assert lost > 0
    assert lost <= result["unexplained"]  # a copy of a skipped event is also without an answer
    named = {(one["topic"], one["partition"], one["offset"]) for one in result["offsets"]}
    assert len(named) == min(result["unexplained"], 100)
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "stream_app", "audit", "--json"],
        env=worker_environment(system.settings),
        capture_output=True,
    )
    printed: dict[str, Any] = orjson.loads(ended.stdout)
    assert ended.returncode == 1
    assert printed["unexplained"] == result["unexplained"]
