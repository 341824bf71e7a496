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
STREAMS = "__streams.errors."  # the prefix of Kafka Streams 4.2


def dead_letter(record: RecordLike, error: EventError, *, topic: str, attempts: int = 1) -> OutputRecord:
    """Key, value, timestamp and headers of the input, then those that name the place, the code and the field.

    Consumers read the last header of a name, so a record that was dead-lettered before tells of this time.
    """
    added = {
        f"{STREAMS}topic": record.topic,
        f"{STREAMS}partition": str(record.partition),
        f"{STREAMS}offset": str(record.offset),
        f"{STREAMS}exception": f"{type(error).__module__}.{type(error).__qualname__}",
        f"{STREAMS}message": error.message,
        f"{STREAMS}stacktrace": "",  # frames name no reason that the code does not, and may quote values
        "dlq.stage": error.stage,
        "dlq.code": error.code,
        "dlq.field": error.field,
        "dlq.attempts": str(attempts),
        "dlq.component_version": component_version(),
    }
    headers = [*record.headers, *((name, value.encode()) for name, value in added.items())]
    return OutputRecord(topic, record.key, record.value, headers, record.timestamp)


@cache
def component_version() -> str:
    """The version of this package."""
    return version("stream-app")
