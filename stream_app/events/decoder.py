"""Raw records of one topic to an EventBatch; bad ones are set aside, their neighbours never notice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np

from stream_app.errors import EventError
from stream_app.events import limits
from stream_app.events.batch import EventBatch
from stream_app.events.columns import Columns, absent, hashes, objects
from stream_app.events.event import PLATFORMS, Event
from stream_app.events.fields import MAX_EPOCH_MS
from stream_app.events.identity import users
from stream_app.events.instants import INVALID, Times, milliseconds
from stream_app.events.refusal import refusal, schema_violation
from stream_app.records import RecordLike

MIN_EPOCH_MS = 631_152_000_000  # 1990-01-01
PLATFORM_CODES = {name: code for code, name in enumerate(PLATFORMS)}
OTHER = len(PLATFORMS) - 1

Faults = dict[int, EventError]
"""The first thing wrong with an event, by its place among the events."""


class Rejected(NamedTuple):
    """A record that cannot be accepted, and why."""

    record: RecordLike
    error: EventError


@dataclass(frozen=True)
class Decoded:
    """What became of the records of a batch; both parts keep the records' order."""

    events: EventBatch
    rejected: list[Rejected]


class Decoder:
    """Decodes records of one event type; `topic` and `first_action` are its codes in an EventBatch."""

    def __init__(self, kind: type[Event], *, topic: int, first_action: int) -> None:
        self._kind = kind
        self._topic = topic
        self._first_action = first_action
        self._decode = msgspec.json.Decoder(kind).decode

    def __call__(self, records: Sequence[RecordLike], *, source_input: int) -> Decoded:
        """Whatever the bytes are, each record is accepted or rejected; none raises and none disturbs another."""
        errors: Faults = {}
        events = self._read([record.value for record in records], errors)
        times, who, faults = envelope(events)
        if faults:
            places = [place for place in range(len(records)) if place not in errors]
            errors |= {places[index]: error for index, error in faults.items()}
            good = [index for index in range(len(events)) if index not in faults]
            events, who, times = [events[i] for i in good], [who[i] for i in good], times[good]
        kept = [r for place, r in enumerate(records) if place not in errors] if errors else records
        columns = self._columns(events) | {
            "source_input": np.full(len(kept), source_input, np.uint8),
            "offset": np.array([record.offset for record in kept], np.int64),
            "event_time_ms": times,
            "user": objects(who),
        }
        rejected = [Rejected(records[place], errors[place]) for place in sorted(errors)]
        return Decoded(EventBatch(**columns), rejected)

    def _read(self, values: Sequence[bytes | None], errors: Faults) -> list[Event]:
        """The values that are events of this type; why the others are not goes to `errors`, by place."""
        whole = [value for value in values if value]
        sound = len(whole) == len(values) and limits.within(whole)
        if sound:
            try:
                return list(map(self._decode, whole))
            except msgspec.DecodeError:
                pass  # some are no events: one by one, then
        events = []
        for place, value in enumerate(values):
            try:
                events.append(self._decode_one(value if sound and value else sound_value(value)))
            except EventError as error:
                errors[place] = error
        return events

    def _decode_one(self, value: bytes) -> Event:
        try:
            return self._decode(value)
        except msgspec.DecodeError as error:
            raise refusal(self._kind, value, error) from None

    def _columns(self, events: Sequence[Event]) -> Columns:
        """All columns that follow from the events alone, but for time and user."""
        columns = self._kind.columns(events)
        columns |= absent(len(events), besides=columns)
        columns["action"] = columns["action"] + np.uint8(self._first_action)
        columns["topic"] = np.full(len(events), self._topic, np.uint8)
        sources = [e.source for e in events]
        ids = [e.event_id for e in events]
        columns["identity"] = hashes([f"{source or ''}\0{id_}" for source, id_ in zip(sources, ids, strict=True)])
        columns["event_id"] = objects(ids)
        columns["source"] = objects(sources)
        columns["session_id"] = objects([e.session_id for e in events])
        columns["platform"] = np.array([PLATFORM_CODES.get(e.platform or "", OTHER) for e in events], np.uint8)
        return columns


def sound_value(value: bytes | None) -> bytes:
    """The value, if it is of legal size and depth and UTF-8; else EventError."""
    if not value:
        raise EventError("malformed_json", "Record has no value", stage="decode")
    if len(value) > limits.MAX_BYTES:
        raise EventError("size_violation", f"Larger than {limits.MAX_BYTES} bytes", stage="decode")
    if limits.too_deep(value):
        raise EventError("size_violation", f"Nested deeper than {limits.MAX_DEPTH}", stage="decode")
    if not limits.is_utf8(value):
        raise EventError("malformed_json", "Not JSON in UTF-8", stage="decode")
    return value


def envelope(events: Sequence[Event]) -> tuple[Times, list[bytes | None], Faults]:
    """Per event its time with clock skew removed and its user, and what is wrong with either."""
    times = milliseconds([e.event_time for e in events])
    faults = {i: unreadable("event_time") for i in np.flatnonzero(times == INVALID).tolist()}
    times += skew(events, faults)
    for index in np.flatnonzero((times < MIN_EPOCH_MS) | (times > MAX_EPOCH_MS)).tolist():
        faults.setdefault(index, schema_violation("Not between 1990 and 9999", "event_time"))
    who = users([e.user_id for e in events], [e.anonymous_id for e in events])
    if None in who:
        for index in (i for i, user in enumerate(who) if user is None):
            error = EventError("illegal_identity", "Neither id names a user", stage="identity", field="user_id")
            faults.setdefault(index, error)
    return times, who, faults


def skew(events: Sequence[Event], faults: Faults) -> Times:
    """Per event received_at − sent_at in milliseconds where both are there, else 0."""
    out = np.zeros(len(events), np.int64)
    rows = [i for i, e in enumerate(events) if e.sent_at is not None or e.received_at is not None]
    if not rows:
        return out
    stamps = {}
    for name in ("sent_at", "received_at"):
        given = [(row, stamp) for row in rows if (stamp := getattr(events[row], name)) is not None]
        times = milliseconds([stamp for _, stamp in given])
        stamps[name] = dict(zip([row for row, _ in given], times.tolist(), strict=True))
        for (row, _), time in zip(given, times, strict=True):
            if time == INVALID:
                faults.setdefault(row, unreadable(name))
    for row in stamps["sent_at"].keys() & stamps["received_at"].keys() - faults.keys():
        out[row] = stamps["received_at"][row] - stamps["sent_at"][row]
    return out


def unreadable(field: str) -> EventError:
    """A time in none of the forms of the contract."""
    return schema_violation("Not RFC 3339 with offset, nor epoch milliseconds", field)
