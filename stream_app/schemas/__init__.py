"""JSON Schemas (2020-12) and the AsyncAPI document, made from the types. The generated files lie beside this one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from stream_app.events import EVENT_TYPES
from stream_app.events.image import Image
from stream_app.schemas.asyncapi import asyncapi
from stream_app.schemas.yaml import dump

FOLDER = Path(__file__).parent
DIALECT = "https://json-schema.org/draft/2020-12/schema"
RULED: tuple[type[msgspec.Struct], ...] = (*EVENT_TYPES.values(), Image)
"""Types with rules between fields."""


def documents() -> dict[str, bytes]:
    """All generated files by name."""
    types = topic_types()
    files = {f"{name}.json": document(kind) for name, kind in types.items()}
    return files | {"asyncapi.yaml": dump(asyncapi(frozenset(types))).encode()}


def topic_types() -> dict[str, type[msgspec.Struct]]:
    """The type of the records of each topic that has one, by topic without prefix."""
    from stream_app.catalogue.item import Item
    from stream_app.insights.part import Part  # outputs draw in the model, which nothing else here needs
    from stream_app.models.change import ModelChange
    from stream_app.outputs.announcement import Announcement
    from stream_app.outputs.engagement import Engagement
    from stream_app.outputs.prediction import Prediction

    return {
        **EVENT_TYPES,
        "items": Item,
        "control": ModelChange,
        "predictions": Prediction,
        "engagement": Engagement,
        "signals": Announcement,
        "insights": Part,
    }


def document(kind: type[msgspec.Struct]) -> bytes:
    """The JSON Schema of one type, its parts under `$defs`."""
    (reference,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    for ruled in RULED:
        if ruled.__name__ in parts:
            parts[ruled.__name__]["allOf"] = rules_of(ruled)
    main = parts.pop(reference["$ref"].rpartition("/")[2])
    return msgspec.json.format(msgspec.json.encode({"$schema": DIALECT, **main, "$defs": parts}), indent=2) + b"\n"


def rules_of(kind: type[msgspec.Struct]) -> list[dict[str, Any]]:
    """The rules of a type and of its bases."""
    return [vars(base)["rules"] for base in reversed(kind.__mro__) if vars(base).get("rules")]


def stale(folder: Path = FOLDER) -> list[str]:
    """Names of the files that are missing or differ from what the types say."""
    return [name for name, content in documents().items() if read(folder / name) != content]


def write(folder: Path = FOLDER) -> list[str]:
    """Write what is stale; its names."""
    changed = stale(folder)
    for name, content in documents().items():
        if name in changed:
            (folder / name).write_bytes(content)
    return changed


def read(path: Path) -> bytes | None:
    """The bytes of a file, None where there is none."""
    return path.read_bytes() if path.is_file() else None
