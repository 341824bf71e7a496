"""What a record says beyond the fields of its type. Decoded only when asked for."""

import json

from stream_app.events.event import Event

MAX_DIGITS = 18


def properties(kind: type[Event], value: bytes) -> dict[str, object]:
    """`properties` of an accepted record and its unknown top-level fields, of which those in `properties` win."""
    record = json.loads(value, parse_int=number)
    unknown = {name: item for name, item in record.items() if name not in kind.__struct_fields__}
    given = record.get("properties")
    if isinstance(given, dict):
        return unknown | given
    return unknown if given is None else unknown | {"properties": given}


def number(digits: str) -> float:
    """An integer as such, or as a float where it has very many digits."""
    return int(digits) if len(digits) <= MAX_DIGITS else float(digits)
