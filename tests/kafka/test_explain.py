"""A real worker's answers explained from its topics by the command."""

import asyncio
import subprocess
import sys

import orjson
import pytest

from stream_app.demo.stack import worker_environment
from stream_app.producers.publish import encode
from stream_app.producers.simulate import simulate
from tests.kafka.workers import System

START_MS = 1_700_000_000_000


async def explain(system: System, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "stream_app", "explain", *arguments],
        env=worker_environment(system.settings),
        capture_output=True,
    )


async def test_the_last_answer_is_reproduced_and_its_events_are_named(system: System) -> None:
    await system.create_topics()
    system.start_worker()
    await system.send([encode(*one) for one in simulate(users=6, seed=3, start_ms=START_MS, events=400)])
    assert (await system.account()).balanced
    answers = [orjson.loads(record.value or b"") for record in await system.read("predictions")]
    last = {answer["user_id"]: answer for answer in answers}
    user = max(last, key=lambda name: sum(answer["user_id"] == name for answer in answers))
    ended = await explain(system, user, "--json", "--events", "4")
    assert ended.returncode == 0, ended.stderr.decode()
    found = orjson.loads(ended.stdout)
    assert found["event_id"] == last[user]["event_id"]
    assert found["modalities"] == last[user]["modalities"]
    assert sum(found["modalities"].values()) == pytest.approx(1)
    assert (found["reproduced"], found["missing"], len(found["events"])) == (True, 0, 4)
    assert found["events"][-1]["event_id"] == last[user]["event_id"]
    shown = (await explain(system, user)).stdout.decode()
    assert found["reasons"][0]["words"].split(" ")[0] in shown
    assert "█" in shown
    stranger = await explain(system, "nobody")
    assert stranger.returncode == 1
    assert stranger.stderr.decode().startswith("stream-app: no prediction for user 'nobody'")
