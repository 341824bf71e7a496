"""Workers come and go: what must not happen while partitions move."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from stream_app.audit.run import audit
from stream_app.broker import EmbeddedBroker
from stream_app.demo.stack import worker_environment
from stream_app.producers.publish import encode
from stream_app.producers.simulate import simulate
from tests.kafka.workers import QUICK, System, settings_for

START_MS = 1_700_000_000_000

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


async def test_workers_that_start_together_share_the_work_without_a_crash(
    broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path
) -> None:
    system = System(settings_for(broker.url, topic_prefix, tmp_path), tmp_path)
    await system.create_topics()
    await system.send([encode(*one) for one in simulate(users=60, seed=3, start_ms=START_MS, events=2_000)])
    workers = [system.start_worker() for _ in range(2)]  # each rebalance finds the last one unfinished
    try:
        assert (await system.account()).balanced
        assert [(await audit(system.settings))[name] for name in ("unexplained", "repeated", "unknown")] == [0, 0, 0]
    finally:
        await asyncio.to_thread(system.stop)
    logs = [worker.log_file.read_text() for worker in workers]
    assert ["worker ended" in log or "Crashed" in log for log in logs] == [False, False], logs
    assert [worker.process and worker.process.returncode for worker in workers] == [0, 0]
