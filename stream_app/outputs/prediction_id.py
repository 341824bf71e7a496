"""Prediction ids: the same event, the same id, after any replay and on any machine."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha1
from uuid import UUID

import numpy as np

NAMESPACE = UUID("6f0b6a52-3d0e-5c3a-9a57-5f6f3a1f3d10")
"""Of the names `pipeline \\0 source \\0 event_id \\0 revision`; the source is empty where the event has none."""

_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)
_VARIANT = np.zeros(256, np.uint8)
_VARIANT[_DIGITS] = np.frombuffer(b"89ab" * 4, np.uint8)
_PARTS = ((0, 8, 0), (9, 13, 8), (14, 18, 12), (19, 23, 16), (24, 36, 20))
"""Of the text form: from, to, and where in the digest's digits it begins."""


def prediction_ids(pipeline: str, source: Iterable[str | None], event_id: Iterable[str], *, revision: int) -> list[str]:
    """UUIDv5 in text form per event; equals `uuid.uuid5(NAMESPACE, name)` at a fifth of its cost."""
    digest = sha1(NAMESPACE.bytes + pipeline.encode() + b"\0", usedforsecurity=False)
    end = f"\0{revision}"
    found = []
    for where, event in zip(source, event_id, strict=True):
        each = digest.copy()
        each.update(f"{where or ''}\0{event}{end}".encode())
        found.append(each.digest())
    digits = np.frombuffer(b"".join(found).hex().encode(), np.uint8).reshape(-1, 40)
    text = np.full((len(found), 36), ord("-"), np.uint8)
    for start, stop, at in _PARTS:
        text[:, start:stop] = digits[:, at : at + stop - start]
    text[:, 14], text[:, 19] = ord("5"), _VARIANT[digits[:, 16]]
    ids: list[str] = text.view("S36")[:, 0].astype("U36").tolist()
    return ids
