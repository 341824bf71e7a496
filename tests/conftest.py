"""Fixtures every test may use: one real broker per session, unique topic names, the real data."""

import os
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stream_app.broker import EmbeddedBroker

if TYPE_CHECKING:
    from tests.kafka.workers import System

REPOSITORY = Path(__file__).resolve().parents[1]

CreateTopics = Callable[..., Awaitable[None]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever needs the broker or the real data carries the marker that says so."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "broker" in fixtures or item.path.parent == REPOSITORY / "tests" / "kafka":
            item.add_marker(pytest.mark.kafka)
        if "data_dir" in fixtures:
            item.add_marker(pytest.mark.data)


@pytest.fixture(scope="session")
def broker() -> Iterator[EmbeddedBroker]:
    """A running Kafka, shared by the session: do not stop it, and use your own `topic_prefix`."""
    with EmbeddedBroker() as running:
        yield running


@pytest.fixture
def topic_prefix() -> str:
    """A prefix (ending in a dot) that no other test uses, for topics, groups and transactional ids."""
    return f"t{uuid.uuid4().hex[:10]}."


@pytest.fixture
def partitions() -> int:
    """Of the topics of `system`; a module may say otherwise."""
    return 4


@pytest.fixture
def system(broker: EmbeddedBroker, topic_prefix: str, partitions: int, tmp_path: Path) -> "Iterator[System]":
    """Topics of its own on the shared broker, and the workers that are started on them."""
    from tests.kafka.workers import System, settings_for

    running = System(settings_for(broker.url, topic_prefix, tmp_path, partitions=partitions), tmp_path)
    yield running
    running.stop()


@pytest.fixture
def create_topics(broker: EmbeddedBroker) -> CreateTopics:
    """`await create_topics("a", "b", partitions=4, configs={...})` on the shared broker."""
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    async def create(*names: str, partitions: int = 4, configs: dict[str, str] | None = None) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.url)
        await admin.start()
        try:
            topics = [NewTopic(name, partitions, 1, topic_configs=configs or {}) for name in names]
            reply = await admin.create_topics(topics)
            assert all(error == 0 for _, error, *_ in reply.topic_errors), reply
        finally:
            await admin.close()

    return create


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real data sets: STREAM_APP_TEST_DATA, else ../shared/data beside the repository."""
    named = os.environ.get("STREAM_APP_TEST_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real data: set STREAM_APP_TEST_DATA to its folder")
    return folder
