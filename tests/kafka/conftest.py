"""Brokers of one's own, for tests that break them."""

from collections.abc import Iterator

import pytest

from stream_app.broker import EmbeddedBroker


@pytest.fixture
def own_broker() -> Iterator[EmbeddedBroker]:
    """A running Kafka that this test alone may stop, kill or pause."""
    with EmbeddedBroker() as running:
        yield running
