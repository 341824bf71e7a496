"""`stream-app topics` on a real broker."""

import os
import subprocess
import sys

import orjson
import pytest

from stream_app.broker import EmbeddedBroker
from stream_app.outputs.topics import TOPICS
from tests.conftest import CreateTopics


def topics(broker: EmbeddedBroker, prefix: str, *arguments: str) -> tuple[int, dict[str, list[str]], str]:
    """Exit code, the object printed, and standard error."""
    environment = os.environ | {"STREAM_APP_BROKER__URL": broker.url, "STREAM_APP_TOPICS__PREFIX": prefix}
    command = [sys.executable, "-m", "stream_app", "topics", *arguments, "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, orjson.loads(done.stdout or "{}"), done.stderr


def test_topics_are_created_once_and_verified(broker: EmbeddedBroker, topic_prefix: str) -> None:
    code, before, _ = topics(broker, topic_prefix, "verify")
    assert code == 1
    assert len(before["problems"]) == len(TOPICS)

    assert len(topics(broker, topic_prefix, "create")[1]["created"]) == len(TOPICS)
    assert topics(broker, topic_prefix, "create")[1] == {"created": []}
    assert topics(broker, topic_prefix, "verify")[:2] == (0, {"problems": []})


async def test_a_wrong_cleanup_is_named(broker: EmbeddedBroker, topic_prefix: str, create_topics: CreateTopics) -> None:
    state = f"{topic_prefix}internal.state"
    await create_topics(state, configs={"cleanup.policy": "delete"})
    topics(broker, topic_prefix, "create")

    code, answer, _ = topics(broker, topic_prefix, "verify")

    assert code == 1
    assert answer["problems"] == [f"topic {state} has cleanup.policy delete, not compact"]


async def test_inputs_that_differ_are_named(
    broker: EmbeddedBroker, topic_prefix: str, create_topics: CreateTopics
) -> None:
    await create_topics(f"{topic_prefix}clicks", partitions=2)
    await create_topics(f"{topic_prefix}searches", partitions=3)

    code, _, error = topics(broker, topic_prefix, "verify")

    assert code == 2
    assert "must have the same number of partitions" in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    "command", [("audit", "--json"), ("audit", "--parity", "--json"), ("dead-letters", "list", "--json")]
)
def test_commands_find_the_partitions_by_themselves(
    command: tuple[str, ...], broker: EmbeddedBroker, topic_prefix: str
) -> None:
    topics(broker, topic_prefix, "create")
    environment = os.environ | {"STREAM_APP_BROKER__URL": broker.url, "STREAM_APP_TOPICS__PREFIX": topic_prefix}

    done = subprocess.run(
        [sys.executable, "-m", "stream_app", *command], env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    orjson.loads(done.stdout)
