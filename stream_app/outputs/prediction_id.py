"""Prediction ids: the same event, the same id, after any replay and on any machine."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha1
from uuid import UUID

NAMESPACE = UUID("6f0b6a52-3d0e-5c3a-9a57-5f6f3a1f3d10")
"""Of the names `pipeline \\0 source \\0 event_id \\0 revision`; the source is empty where the event has none."""

_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def prediction_ids(pipeline: str, source: Iterable[str | None], event_id: Iterable[str], *, revision: int) -> list[str]:
    """UUIDv5 in text form per event; equals `uuid.uuid5(NAMESPACE, name)` at a third of its cost."""
    start = NAMESPACE.bytes + pipeline.encode() + b"\0"
    end = f"\0{revision}"
    ids = []
    for where, event in zip(source, event_id, strict=True):
        name = f"{where or ''}\0{event}{end}"
        h = sha1(start + name.encode(), usedforsecurity=False).hexdigest()
        ids.append(f"{h[:8]}-{h[8:12]}-5{h[13:16]}-{_VARIANT[h[16]]}{h[17:20]}-{h[20:32]}")
    return ids
