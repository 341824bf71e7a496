"""The embedded broker is a real Kafka that survives what tests do to it and leaves nothing behind."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from stream_app.broker import EmbeddedBroker
from stream_app.broker.probe import cluster_id
from stream_app.errors import DependencyError


async def create_topic(url: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=url)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
    finally:
        await admin.close()


async def produce(url: str, topic: str, *values: bytes, **options: Any) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=url, enable_idempotence=True, **options)
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def consume(url: str, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=url, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


def wait_gone(pid: int, wait_s: float) -> bool:
    deadline = time.monotonic() + wait_s
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


async def test_what_is_produced_is_consumed(broker: EmbeddedBroker, topic_prefix: str, create_topics) -> None:
    topic = topic_prefix + "a"
    await create_topics(topic, partitions=1)
    await produce(broker.url, topic, b"1", b"2")
    assert await consume(broker.url, topic, 2) == [b"1", b"2"]


def test_it_listens_on_the_loopback_only(broker: EmbeddedBroker) -> None:
    listening = [c for c in psutil.Process(broker.pid).net_connections() if c.status == psutil.CONN_LISTEN]
    assert len(listening) == 3
    assert {c.laddr.ip.removeprefix("::ffff:") for c in listening} == {"127.0.0.1"}


def test_the_probe_names_our_cluster_and_nobody_elses(broker: EmbeddedBroker) -> None:
    known = (broker.data / "log" / "meta.properties").read_text()
    host, port = broker.url.split(":")
    assert f"cluster.id={cluster_id(host, int(port))}\n" in known
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert cluster_id("127.0.0.1", silent.getsockname()[1], timeout_s=0.1) is None


async def test_stop_kill_and_pause_keep_the_records_and_the_url(own_broker: EmbeddedBroker) -> None:
    url = own_broker.url
    await create_topic(url, "kept")
    await produce(url, "kept", b"before the stop")
    own_broker.stop()
    assert not own_broker.alive()
    own_broker.start()
    await produce(url, "kept", b"before the kill")
    own_broker.kill()
    own_broker.start()
    own_broker.pause()
    late = asyncio.create_task(produce(url, "kept", b"while paused"))
    done, _ = await asyncio.wait([late], timeout=0.5)
    assert not done
    own_broker.resume()
    await late
    assert own_broker.url == url
    assert await consume(url, "kept", 3) == [b"before the stop", b"before the kill", b"while paused"]


def test_a_named_data_folder_outlives_the_broker_and_a_temporary_one_does_not(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path / "data") as broker:
        first = (broker.data / "log" / "meta.properties").read_text()
    with EmbeddedBroker(tmp_path / "data") as broker:
        assert (broker.data / "log" / "meta.properties").read_text() == first
    with EmbeddedBroker() as broker:
        folder, pid = broker.data, broker.pid
        assert folder.is_dir()
    assert not folder.exists()
    assert pid
    assert wait_gone(pid, 0)


def test_a_taken_port_is_told(broker: EmbeddedBroker) -> None:
    port = int(broker.url.split(":")[1])
    with pytest.raises(DependencyError, match=f"^port {port} is already in use$"):
        EmbeddedBroker(port=port).__enter__()


def test_a_broker_that_ends_at_start_tells_why_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "meta.properties").write_text("version=1\ncluster.id=x\nnode.id=7\n")
    with pytest.raises(DependencyError, match=r"^the embedded broker ended: .*Stored node id 7") as caught:
        EmbeddedBroker(tmp_path).start()
    assert "\n" not in str(caught.value)


def test_a_data_folder_in_use_is_refused(broker: EmbeddedBroker) -> None:
    with pytest.raises(DependencyError, match="another broker uses"):
        EmbeddedBroker(broker.data).start()


FOREGROUND = "from stream_app.broker import run; run()"


@pytest.fixture
def foreground(request: pytest.FixtureRequest, tmp_path: Path):
    """The broker as `stream-app broker` runs it, its URL read; (process, pid of Kafka)."""
    process = subprocess.Popen(
        [sys.executable, "-c", FOREGROUND],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(request.config.rootpath), "TMPDIR": str(tmp_path)},
    )
    assert process.stdout
    assert process.stdout.readline().startswith("127.0.0.1:")
    yield process, psutil.Process(process.pid).children()[0].pid
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_foreground_broker_stops_cleanly_on(how: signal.Signals, foreground) -> None:
    process, kafka = foreground
    process.send_signal(how)
    assert process.wait(70) == 0
    assert wait_gone(kafka, 0)


def test_kafka_dies_with_its_parent(foreground) -> None:
    process, kafka = foreground
    process.kill()
    assert wait_gone(kafka, 5)


def test_the_foreground_command_fails_when_kafka_dies(foreground) -> None:
    process, kafka = foreground
    os.kill(kafka, signal.SIGKILL)
    assert process.wait(10) == 1


async def test_topics_are_never_made_by_accident(broker: EmbeddedBroker, topic_prefix: str) -> None:
    with pytest.raises(KafkaError):
        await produce(broker.url, topic_prefix + "typo", b"1", request_timeout_ms=1_000)
