"""Workers come and go: what must not happen while partitions move."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from stream_app.broker import EmbeddedBroker
from stream_app.demo.stack import worker_environment
from tests.kafka.workers import QUICK, System, settings_for

BROKEN = """
from stream_app.transport.consumer import BatchConsumer

async def getmany(self, timeout):
    raise AttributeError("planted")
    yield

BatchConsumer.getmany = getmany
from stream_app.cli import main
main()
"""


def test_a_worker_that_fetches_no_more_ends_instead_of_standing_by(
    broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path
) -> None:
    system = System(settings_for(broker.url, topic_prefix, tmp_path), tmp_path)
    command = [sys.executable, "-c", BROKEN, "worker", "--no-supervise"]
    ended = subprocess.run(command, env=worker_environment(system.settings, **QUICK), capture_output=True, timeout=120)
    assert ended.returncode == 70
    assert b"worker ends" in ended.stderr
