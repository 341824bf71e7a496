"""From what msgspec says about a record to the EventError that it is dead-lettered with. No message quotes a value."""

import json
import re
from collections.abc import Iterator
from functools import cache

import msgspec

from stream_app.errors import EventError
from stream_app.events.event import Event
from stream_app.events.faults import FieldFault

LOCATED = re.compile(r"(.*?)(?: - at `\$([^`]*)`)?", re.DOTALL)
MISSING = re.compile(r"Object missing required field `(\w+)`")
TOP = re.compile(r"\w*")
HOLE = object()
TIMES = ("event_time", "sent_at", "received_at")


def refusal(kind: type[msgspec.Struct], value: bytes, error: msgspec.DecodeError) -> EventError:
    """Why msgspec refused this record, which is of legal size and UTF-8."""
    if not isinstance(error, msgspec.ValidationError):
        field = literal(kind, value)
        return EventError("malformed_json", "Not JSON in UTF-8", stage="decode") if field is None else not_finite(field)
    text, path = LOCATED.fullmatch(str(error)).groups(default="")  # type: ignore[union-attr]
    if isinstance(error.__cause__, FieldFault):
        return schema_violation(text, join(path, error.__cause__.field))
    if text.endswith("out of range"):
        return not_finite(join(path))
    if missing := MISSING.fullmatch(text):
        return schema_violation("Required field is missing", join(path, missing[1]))
    return schema_violation(text.split(" '")[0], join(path))  # an enum's message quotes what was sent


def schema_violation(message: str, field: str) -> EventError:
    """The record is JSON but not of its type."""
    return EventError("schema_violation", message, stage=stage(field), field=field)


def not_finite(field: str) -> EventError:
    """A number that is not finite, or too large to be held."""
    return EventError("not_finite", "Number is not finite", stage=stage(field), field=field)


def stage(field: str) -> str:
    """Where a field is looked at: time, envelope or schema."""
    top = TOP.match(field)[0]  # type: ignore[index]
    if top in TIMES:
        return "time"
    return "envelope" if top in Event.__struct_fields__ else "schema"


def join(path: str, field: str = "") -> str:
    """`.words[3]` and `confidence` to `words[3].confidence`."""
    return f"{path}.{field}".strip(".")


def literal(kind: type[msgspec.Struct], value: bytes) -> str | None:
    """The path of the first NaN or Infinity in a record that is JSON but for them; None where it is not.

    A name that the types do not know may be personal: the path ends before it.
    """
    constants: list[str] = []

    def hole(name: str) -> object:
        constants.append(name)
        return HOLE

    try:
        record = json.loads(value.decode(), parse_constant=hole, parse_int=float)
    except ValueError:
        return None
    return next(holes(record, "", names(kind)), "") if constants else None


def holes(part: object, path: str, known: frozenset[str]) -> Iterator[str]:
    """Paths of all HOLEs; as deep a recursion as a record may nest."""
    if part is HOLE:
        yield path
    elif isinstance(part, list):
        for index, item in enumerate(part):
            yield from holes(item, f"{path}[{index}]", known)
    elif isinstance(part, dict):
        for name, item in part.items():
            if name in known:
                yield from holes(item, join(path, name), known)
            elif any(holes(item, "?", known)):
                yield path


@cache
def names(kind: type[msgspec.Struct]) -> frozenset[str]:
    """All field names of the type and of the types inside it."""
    _, parts = msgspec.json.schema_components([kind])
    return frozenset(name for part in parts.values() for name in part.get("properties", ()))
