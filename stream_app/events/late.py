"""The record that a late event is published as: itself, with headers that say how late it is."""

from stream_app.records import OutputRecord, RecordLike


def late_event(record: RecordLike, *, topic: str, watermark_ms: int, event_time_ms: int, grace_ms: int) -> OutputRecord:
    """Key, value, timestamp and headers of the input, then `late.*`; `late.by_ms` is how far behind the watermark."""
    added = {
        "late.by_ms": watermark_ms - event_time_ms,
        "late.watermark_ms": watermark_ms,
        "late.event_time_ms": event_time_ms,
        "late.grace_ms": grace_ms,
        "late.topic": record.topic,
        "late.partition": record.partition,
        "late.offset": record.offset,
    }
    headers = [*record.headers, *((name, str(value).encode()) for name, value in added.items())]
    return OutputRecord(topic, record.key, record.value, headers, record.timestamp)
