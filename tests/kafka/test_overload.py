"""Inference thirty times slower: answers leave out what their tiers say, nothing is lost, and it recovers."""

from __future__ import annotations

import random
import signal
import string
import subprocess
import sys
from collections import Counter
from pathlib import Path

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from fusion.features import TIERS
from stream_app.audit.run import parity
from stream_app.broker import EmbeddedBroker
from stream_app.demo.stack import peak_mib, worker_environment
from stream_app.producers.publish import encode
from stream_app.producers.simulate import simulate
from tests.kafka.workers import QUICK, System, get, settings_for, until

SLOWER = 30
EVENTS = 2_000
START_MS = 1_700_000_000_000
PARTITIONS = 2
MORE = {"PIPELINE__OVERLOAD_S": "0.5", "PIPELINE__BATCH_EVENTS": "64", "PIPELINE__INBOX_EVENTS": "64"}
PADDING = "".join(random.Random(0).choices(string.ascii_letters, k=200_000))
"""On every click, which makes a backlog of 280 MiB: compression does not find the one before."""
CAP_MIB = 300
"""Of growth under the backlog; where the inbox may hold all of it, it is 400."""


def start(environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        command = [sys.executable, "-m", "tests.kafka.slow_worker", str(SLOWER)]
        return subprocess.Popen(command, env=environment, stdout=file, stderr=file)


def stop(worker: subprocess.Popen[bytes]) -> None:
    worker.send_signal(signal.SIGTERM)
    try:
        worker.wait(20)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


@pytest.mark.timeout(420)
async def test_a_slow_model_loses_nothing_says_what_it_left_out_and_recovers(
    broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path
) -> None:
    settings = settings_for(broker.url, topic_prefix, tmp_path, partitions=PARTITIONS)
    system, log = System(settings, tmp_path), tmp_path / "slow.log"
    await system.create_topics()
    stream = [
        encode(kind, {**record, "padding": PADDING} if kind == "clicks" else record)
        for kind, record in simulate(users=200, seed=3, start_ms=START_MS, events=EVENTS, images=False)
    ]
    await system.send(stream)
    later_ms = max(record.time_ms for record in stream)
    worker = start(worker_environment(settings, **QUICK, **MORE), log)
    try:
        balance = await system.account(deadline_s=240)
        assert balance.balanced, balance
        made = [orjson.loads(record.value or b"") for record in await system.read("predictions")]

        async def full_again() -> bool:
            number = len(made)
            calm = {"event_id": f"calm-{number}", "event_time": later_ms + number, "user_id": "calm"}
            await system.send([encode("clicks", {**calm, "action": "view", "product_id": "p1"})])
            await until(lambda: _more_than(system, number), deadline_s=60)
            made[:] = [orjson.loads(record.value or b"") for record in await system.read("predictions")]
            return next(one["tier"] for one in made if one["event_id"] == f"calm-{number}") == "full"

        await until(full_again, deadline_s=120)
        tiers = Counter(one["tier"] for one in made)
        assert set(tiers) == set(TIERS)
        for one in made:
            assert ("recommendations" in one["outputs"]) == (one["tier"] == "full")
        features = await parity(settings)
        assert [features[name] for name in ("compared", "mismatch", "missing", "extra")] == [len(made), 0, 0, 0]
        assert features["tiers"] == tiers
        lines = [orjson.loads(line) for line in log.read_text().splitlines()]
        url = next(line["url"] for line in lines if line["message"] == "serving")
        assert _samples(f"{url}/metrics", "behavior_tier_events_total", "tier") == tiers
        assert [line["message"] for line in lines].count("assigned") == 1, "a heartbeat was lost"
        before_mib = next(line["mib"] for line in lines if line["message"] == "first call")
        assert peak_mib(worker.pid) - before_mib < CAP_MIB
    finally:
        stop(worker)


async def _more_than(system: System, count: int) -> bool:
    return await system.predictions() > count


def _samples(url: str, name: str, label: str) -> dict[str, float]:
    families = text_string_to_metric_families(get(url)[1].decode())
    return {s.labels[label]: s.value for family in families for s in family.samples if s.name == name}
