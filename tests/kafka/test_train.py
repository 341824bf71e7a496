"""`stream-app train --from-topics` learns from what a real broker has recorded."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fusion.checkpoint import load_checkpoint
from fusion.scorer import ARTEFACT
from stream_app.broker import EmbeddedBroker
from stream_app.demo.stack import worker_environment
from stream_app.producers.publish import encode
from stream_app.producers.simulate import simulate
from tests.kafka.workers import System, settings_for

START_MS = 1_735_689_600_000
EVENTS = 3000


async def train(system: System, out: Path, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "stream_app", "train", "--out", str(out), "--from-topics", "--quick", *arguments],
        env=worker_environment(system.settings) | {"COLUMNS": "200"},
        capture_output=True,
    )


@pytest.mark.timeout(300)
async def test_recorded_topics_make_a_model_that_keeps_its_segments(
    broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path
) -> None:
    system = System(settings_for(broker.url, topic_prefix, tmp_path), tmp_path)
    out = tmp_path / "model"
    await system.create_topics()
    empty = await train(system, out)
    assert empty.returncode == os.EX_TEMPFAIL
    assert b"there is nothing to learn from" in empty.stderr

    stream = [encode(*one) for one in simulate(users=60, seed=3, start_ms=START_MS, activity=1.0, events=EVENTS)]
    await system.send(stream)
    done = await train(system, out, "--epochs", "1", "--previous", str(ARTEFACT))

    assert done.returncode == 0, done.stderr.decode()
    assert b"purchase, recorded" in done.stderr
    checkpoint, shipped = load_checkpoint(out / ARTEFACT.name), load_checkpoint(ARTEFACT)
    assert checkpoint.digest != shipped.digest
    assert checkpoint.digest in (out / "MODEL_CARD.md").read_text("utf-8")
    same = (checkpoint.model.text.out.weight - shipped.model.text.out.weight).abs().max()
    assert same < 1e-3, "words are known from before"
    assert (checkpoint.model.fusion.out.weight - shipped.model.fusion.out.weight).abs().max() > 0.01, "habits are new"
    assert {each.name for each in out.iterdir()} == {
        "MODEL_CARD.md",
        "curves.csv",
        "fused.safetensors",
        "loss-answers.png",
        "loss-pretraining.png",
        "loss-sequences.png",
    }, "a finished training leaves nothing to resume"
