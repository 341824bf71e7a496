"""The envelope that all input records share. Knows no topics and no state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from msgspec import Raw, Struct, field

from stream_app.events.columns import Columns
from stream_app.events.fields import EventId, Instant
from stream_app.events.identity import LEGAL_PATTERN

PLATFORMS = ("web", "ios", "android", "mini_program", "store", "call_center", "other")


class Event(Struct, kw_only=True, gc=False):
    """One input record. Subclasses add their fields, their rules and the columns that they fill."""

    event_id: EventId
    event_time: Instant
    user_id: str | None = None
    anonymous_id: str | None = None
    source: str | None = None
    session_id: str | None = None
    platform: str | None = None
    tenant: str | None = None
    schema_version: str | int | None = None
    sent_at: Instant | None = None
    received_at: Instant | None = None
    consent: dict[str, bool] | None = None
    properties: Raw = field(default_factory=Raw)

    actions: ClassVar[tuple[str, ...]] = ()
    """What the user can have done, as counted in the outputs; the `action` column indexes it."""
    track: ClassVar[str] = ""
    """The modality track that the text column feeds: text, voice or none."""
    rules: ClassVar[dict[str, Any]] = {
        "anyOf": [
            {"required": [name], "properties": {name: {"type": "string", "pattern": LEGAL_PATTERN}}}
            for name in ("user_id", "anonymous_id")
        ]
    }
    """JSON Schema of the rules between fields; those of a subclass are in force as well."""

    @classmethod
    def columns(cls, events: Sequence[Self]) -> Columns:
        """The columns beyond the envelope that this type fills."""
        raise NotImplementedError
