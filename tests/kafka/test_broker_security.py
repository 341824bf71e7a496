"""SCRAM, TLS and ACLs of the embedded broker refuse whom they should."""

import os
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError
from aiokafka.protocol.admin import CreateAclsRequest

from stream_app.broker import EmbeddedBroker, Security
from tests.kafka.workers import until

TOPIC, PREFIXED, USER = 2, 4, "User:shop"
WRITE, DESCRIBE, ALLOW = 4, 8, 3


@pytest.fixture(scope="module")
def guarded() -> Iterator[EmbeddedBroker]:
    """TLS, two users, and nothing allowed but to `boss`."""
    security = Security(users={"shop": "open-sesame", "boss": "b"}, tls=True, acls=True, super_users=("boss",))
    with EmbeddedBroker(security=security) as broker:
        yield broker


def client(broker: EmbeddedBroker, user: str = "shop", password: str = "open-sesame") -> dict[str, Any]:
    return {
        "bootstrap_servers": broker.url,
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": user,
        "sasl_plain_password": password,
        "ssl_context": ssl.create_default_context(cafile=str(broker.authority)),
    }


async def send(settings: dict[str, Any], topic: str) -> None:
    producer = AIOKafkaProducer(**settings, enable_idempotence=False)
    try:
        await producer.start()
        await producer.send_and_wait(topic, b"1")
    finally:
        await producer.stop()


async def create(broker: EmbeddedBroker, topic: str) -> None:
    admin = AIOKafkaAdminClient(**client(broker, "boss", "b"))
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
    finally:
        await admin.close()


async def test_a_user_writes_only_where_an_acl_allows_it(guarded: EmbeddedBroker) -> None:
    await create(guarded, "allowed.a")
    await create(guarded, "other.a")
    admin = AIOKafkaAdminClient(bootstrap_servers=guarded.internal_url)
    await admin.start()
    try:
        for operation in (WRITE, DESCRIBE):
            request = CreateAclsRequest(TOPIC, "allowed.", PREFIXED, USER, "*", operation, ALLOW)
            reply = await admin._send_request(request)
            assert reply.creation_responses[0][0] == 0
    finally:
        await admin.close()
    await send(client(guarded), "allowed.a")
    with pytest.raises(TopicAuthorizationFailedError):
        await send(client(guarded), "other.a")


async def refused(settings: dict[str, Any]) -> None:
    """The broker says no; aiokafka does not wait for the end of such a connection, so this does."""
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(KafkaConnectionError):
        await send(settings, "allowed.a")
    await until(lambda: len(os.listdir("/proc/self/fd")) <= before, every_s=0.02)


async def test_a_wrong_password_is_refused(guarded: EmbeddedBroker) -> None:
    await refused(client(guarded, password="guess"))


async def test_a_client_that_does_not_know_the_authority_refuses_the_broker(guarded: EmbeddedBroker) -> None:
    await refused({**client(guarded), "ssl_context": ssl.create_default_context()})


def test_passwords_never_show(guarded: EmbeddedBroker) -> None:
    assert "sesame" not in repr(guarded._config)
    assert "sesame" not in guarded.log_file.read_text()
    assert (guarded.data / "broker.properties").stat().st_mode & 0o077 == 0
