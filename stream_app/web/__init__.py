"""The HTTP surface of a worker: metrics, health, the live page, a user's state. Knows no Kafka."""

from stream_app.web.answers import Answers
from stream_app.web.live import Live
from stream_app.web.server import WebServer
from stream_app.web.status import Status

__all__ = ["Answers", "Live", "Status", "WebServer"]
