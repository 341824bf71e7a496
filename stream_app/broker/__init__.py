"""The embedded broker: a real Apache Kafka without Docker or a system Java (extra `local`)."""

from stream_app.broker.embedded import EmbeddedBroker
from stream_app.broker.foreground import run
from stream_app.broker.security import Security

__all__ = ["EmbeddedBroker", "Security", "run"]
