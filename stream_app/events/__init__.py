"""Typed events: what producers send, one file per type, and how records become columns."""

from collections.abc import Sequence
from itertools import accumulate

from stream_app.events.batch import EventBatch
from stream_app.events.click import Click
from stream_app.events.decoder import Decoded, Decoder, Rejected
from stream_app.events.event import PLATFORMS, Event
from stream_app.events.properties import properties
from stream_app.events.review import Review
from stream_app.events.search import Search
from stream_app.events.voice_transcript import VoiceTranscript
from stream_app.records import RecordLike

EVENT_TYPES: dict[str, type[Event]] = {
    "clicks": Click,
    "searches": Search,
    "reviews": Review,
    "voice-transcripts": VoiceTranscript,
}
"""By topic suffix; the order gives the codes of the `topic` and `action` columns, so new types go last."""

ACTIONS: tuple[str, ...] = tuple(action for kind in EVENT_TYPES.values() for action in kind.actions)

_FIRST_ACTIONS = accumulate((len(kind.actions) for kind in EVENT_TYPES.values()), initial=0)
_DECODERS = {
    name: Decoder(kind, topic=topic, first_action=first)
    for topic, ((name, kind), first) in enumerate(zip(EVENT_TYPES.items(), _FIRST_ACTIONS, strict=False))
}

__all__ = [
    "ACTIONS",
    "EVENT_TYPES",
    "PLATFORMS",
    "Decoded",
    "Event",
    "EventBatch",
    "Rejected",
    "decode",
    "properties",
]


def decode(records: Sequence[RecordLike], *, event_type: str, source_input: int) -> Decoded:
    """Decode records of one input; bad ones are set aside and their neighbours never notice."""
    return _DECODERS[event_type](records, source_input=source_input)
