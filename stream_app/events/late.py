"""The record that a late event is published as: itself, with headers that say how late it is."""

from stream_app.records import OutputRecord, RecordLike

HEADERS = (
    "late.by_ms",
    "late.watermark_ms",
    "late.event_time_ms",
    "late.grace_ms",
    "late.topic",
    "late.partition",
    "late.offset",
)
"""What is added, all UTF-8 strings; `by_ms` is how far the event was behind the watermark."""


def late_event(record: RecordLike, *, topic: str, watermark_ms: int, event_time_ms: int, grace_ms: int) -> OutputRecord:
    """Key, value, timestamp and headers of the input, then HEADERS."""
    where = (record.topic, record.partition, record.offset)
    values = (watermark_ms - event_time_ms, watermark_ms, event_time_ms, grace_ms, *where)
    added = [(name, str(value).encode()) for name, value in zip(HEADERS, values, strict=True)]
    return OutputRecord(topic, record.key, record.value, [*record.headers, *added], record.timestamp)
