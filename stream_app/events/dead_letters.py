"""The record that a refused one is published as: itself, with headers that say what was wrong."""

from functools import cache
from importlib.metadata import version

from stream_app.errors import EventError
from stream_app.records import OutputRecord, RecordLike

STAGES = ("decode", "envelope", "schema", "time", "identity", "features", "inference")
CODES = (
    "malformed_json",
    "schema_violation",
    "size_violation",
    "future_timestamp",
    "illegal_identity",
    "not_finite",
    "poison",
)
HEADERS = (
    "__streams.errors.topic",  # the six of Kafka Streams 4.2
    "__streams.errors.partition",
    "__streams.errors.offset",
    "__streams.errors.exception",
    "__streams.errors.message",
    "__streams.errors.stacktrace",  # empty: frames say no more than the code, and may quote values
    "dlq.stage",
    "dlq.code",
    "dlq.field",
    "dlq.attempts",
    "dlq.component_version",
)
"""What is added, all UTF-8 strings."""


def dead_letter(record: RecordLike, error: EventError, *, topic: str, attempts: int = 1) -> OutputRecord:
    """Key, value, timestamp and headers of the input, then HEADERS. Where a name comes twice, the last one holds."""
    where = (record.topic, str(record.partition), str(record.offset))
    what = (f"{type(error).__module__}.{type(error).__qualname__}", error.message, "")
    why = (error.stage, error.code, error.field, str(attempts), component_version())
    added = [(name, value.encode()) for name, value in zip(HEADERS, (*where, *what, *why), strict=True)]
    return OutputRecord(topic, record.key, record.value, [*record.headers, *added], record.timestamp)


@cache
def component_version() -> str:
    """The version of this package."""
    return version("stream-app")
