"""The HTTP surface of a worker: metrics, health, the live page, a user's state. Knows no Kafka."""

from stream_app.web.live import Live
from stream_app.web.server import UserLookup, WebServer
from stream_app.web.status import Status

__all__ = ["Live", "Status", "UserLookup", "WebServer"]
