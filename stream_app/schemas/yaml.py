"""A YAML writer for plain data, so that writing one document needs no dependency."""

import json
import re
from collections.abc import Iterator

PLAIN_KEY = re.compile(r"[A-Za-z_$][\w.$-]*")


def dump(value: dict[str, object]) -> str:
    """Block style; strings as JSON writes them, which YAML reads the same."""
    return "\n".join(lines(value)) + "\n"


def lines(value: object) -> Iterator[str]:
    """The lines of a value, not indented."""
    if isinstance(value, dict) and value:
        for name, part in value.items():
            key = name if PLAIN_KEY.fullmatch(name) else json.dumps(name)
            if isinstance(part, dict | list) and part:
                yield f"{key}:"
                yield from (f"  {line}" for line in lines(part))
            else:
                yield f"{key}: {json.dumps(part, ensure_ascii=False)}"
    elif isinstance(value, list) and value:
        for part in value:
            for place, line in enumerate(lines(part)):
                yield f"{'  ' if place else '- '}{line}"
    else:
        yield json.dumps(value, ensure_ascii=False)
