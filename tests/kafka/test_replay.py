"""Recorded input predicted once more: the same predictions, in a topic of their own; what is live does not change."""

import asyncio
import subprocess
import sys
import time
from itertools import pairwise
from typing import Any

import orjson
import pytest

from stream_app.demo.stack import worker_environment
from stream_app.outputs.topics import TOPICS
from stream_app.producers.bad_input import with_bad
from stream_app.producers.publish import encode
from stream_app.producers.simulate import simulate
from stream_app.transport import admin
from stream_app.transport.log_reader import read_all
from tests.kafka.workers import System, until

START_MS = 1_700_000_000_000


@pytest.fixture
def partitions() -> int:
    return 2


async def replay(system: System, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "stream_app", "replay", *arguments, "--json"],
        env=worker_environment(system.settings),
        capture_output=True,
    )


async def printed(system: System, *arguments: str) -> dict[str, Any]:
    ended = await replay(system, *arguments)
    assert ended.returncode == 0, ended.stderr.decode()
    found: dict[str, Any] = orjson.loads(ended.stdout)
    return found


async def live(system: System) -> Any:
    """Where every topic of the pipeline ends, and what its group has committed."""
    names = [system.settings.topics.prefix + spec.name for spec in TOPICS]
    ends = await admin.bounds(system.settings.broker, names)
    return ends, await admin.committed(system.settings.broker, system.settings.pipeline.name)


async def test_predictions_come_out_the_same_and_nothing_live_is_touched(system: System) -> None:
    await system.create_topics()
    shoppers = simulate(users=30, seed=8, start_ms=START_MS, events=500, images=False)
    unnamed = ((kind, record | {"session_id": None}) for kind, record in shoppers)  # sessions are the worker's own
    stream = list(with_bad((encode(*one) for one in unnamed), 0.05, seed=8))
    await system.send(stream[:200])
    system.start_worker()
    assert (await system.account()).balanced
    await asyncio.to_thread(system.stop)
    middle = time.time_ns() // 1_000_000 + 1
    await until(lambda: time.time_ns() // 1_000_000 >= middle, every_s=0.001)
    await system.send(stream[200:])
    system.start_worker()
    assert (await system.account()).balanced
    await until(lambda: finished(system))
    system.stop()
    before = await live(system)
    records = await system.read("predictions")
    predictions = [orjson.loads(record.value or b"") | {"partition": record.partition} for record in records]

    partly = await printed(system, "--into", "shadow", "--to", str(middle))
    whole = await printed(system, "--into", "shadow")
    again = await printed(system, "--into", "shadow")

    for earlier, later in pairwise(one for one in predictions if one["partition"] == 0):
        assert all(offset <= later["positions"][name] for name, offset in earlier["positions"].items())
    assert await live(system) == before
    assert 0 < partly["written"] < len(predictions)
    assert whole["already_there"] == partly["written"]
    assert whole["already_there"] + whole["written"] == again["already_there"] == len(predictions)
    assert again["written"] == 0
    assert (whole["compared"], whole["beyond_tolerance"], whole["other_model"]) == (len(predictions), 0, 0)
    assert whole["other_recommendations"] == 0
    topic = f"{system.settings.topics.prefix}shadow.predictions"
    made = [orjson.loads(r.value or b"") for r in await read_all(system.settings.broker, [(topic, 0), (topic, 1)])]
    kept = ("prediction_id", "event_id", "user_id", "session_id", "feature_digest", "positions", "quality_flags")
    assert sorted([one[name] for name in kept].__repr__() for one in made) == sorted(
        [one[name] for name in kept].__repr__() for one in predictions
    )


async def finished(system: System) -> bool:
    """The bad records at the end are committed too."""
    done = await admin.committed(system.settings.broker, system.settings.pipeline.name)
    ends = await admin.bounds(system.settings.broker, system.names.inputs)
    return all(done.get(tp, 0) >= end for tp, (_, end) in ends.items())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--into"),
        (["rees46", "--into", "shadow"], "one of them"),
        (["rees46", "--from", "2026-01-01T00:00:00Z"], "--from goes with --into"),
        (["--into", "shadow", "--speed", "10x"], "--speed goes with a SOURCE"),
        (["--into", "internal", "--to", "yesterday"], "--to"),
        (["--into", "internal"], "topics of the pipeline itself"),
        (["--into", "a b"], "--into 'a b'"),
        (["--into", "shadow", "--model", "no-such.safetensors"], "no-such.safetensors"),
        (["--into", "shadow"], "no topic"),
    ],
)
async def test_nonsense_is_one_clear_line(system: System, arguments: list[str], says: str) -> None:
    ended = await replay(system, *arguments)

    assert ended.returncode in (1, 2)
    (line,) = ended.stderr.decode().strip().splitlines()
    assert line.startswith("stream-app: ")
    assert says in line
