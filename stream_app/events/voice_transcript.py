"""What was said, as a recogniser heard it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from stream_app.events.columns import Columns, numbers, objects
from stream_app.events.event import Event
from stream_app.events.faults import FieldFault
from stream_app.events.fields import Duration, Share


class Word(Struct, kw_only=True, gc=False):
    """One recognised word."""

    word: str
    begin_ms: Duration | None = None
    end_ms: Duration | None = None
    confidence: Share | None = None


class VoiceTranscript(Event):
    """A piece of speech, final or not yet. Only the customer's own words reach the text column."""

    transcript: str
    call_id: str | None = None
    segment_id: str | None = None
    is_final: bool | None = True
    participant_role: Literal["customer", "agent", "system"] | None = "customer"
    begin_offset_ms: Duration | None = None
    end_offset_ms: Duration | None = None
    confidence: Share | None = None
    words: list[Word] | None = None
    language: str | None = None
    channel: Literal["voice_search", "voice_chat", "call"] | None = None

    actions: ClassVar[tuple[str, ...]] = ("voice",)
    track: ClassVar[str] = "voice"
    rules: ClassVar[dict[str, Any]] = {
        "if": {"required": ["is_final"], "properties": {"is_final": {"const": False}}},
        "then": {
            "required": ["call_id", "segment_id"],
            "properties": {name: {"not": {"type": "null"}} for name in ("call_id", "segment_id")},
        },
    }

    def __post_init__(self) -> None:
        if self.is_final is False:
            for name in ("call_id", "segment_id"):
                if getattr(self, name) is None:
                    raise FieldFault(name, "is required when is_final is false")

    @classmethod
    def columns(cls, events: Sequence[Self]) -> Columns:
        heard = [e if e.participant_role in ("customer", None) else None for e in events]
        return {
            "partial": np.array([e.is_final is False for e in events], np.bool_),
            "text": objects([e and (e.transcript.strip() or None) for e in heard]),
            "confidence": numbers([None if e is None else e.confidence for e in heard], "confidence"),
            "word_confidence": objects([e and word_confidence(e) for e in heard]),
            "language": objects([e.language for e in events]),
        }


def word_confidence(event: VoiceTranscript) -> NDArray[np.float32] | None:
    """Per word; a word without one has the transcript's, else 1. None without words."""
    if not event.words:
        return None
    whole = 1.0 if event.confidence is None else event.confidence
    return np.array([whole if w.confidence is None else w.confidence for w in event.words], np.float32)
