"""`behavior.control`, key empty: which model serves. Each record is the whole truth: compaction loses nothing."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from stream_app.errors import EventError

KEY = b""
"""Of every model record: the topic's last one stays."""


class Artefact(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A model file: its path below the workers' model folder (absent: the one that their settings name), its sha256."""

    digest: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    path: Annotated[str, Meta(max_length=256, pattern=r"\.safetensors$")] | None = None


class Shadow(Artefact, frozen=True, omit_defaults=True, kw_only=True):
    """A model that is scored beside the live one for a share of the users, and only measured."""

    share: Annotated[float, Meta(gt=0, le=1)]


class ModelChange(Artefact, frozen=True, omit_defaults=True, kw_only=True, tag_field="kind", tag="model"):
    """The model that serves from here on.

    `before` is what to go back to. `instead_of` is the offset of the record that a worker takes back: where another
    record has come since, the taking back is void.
    """

    shadow: Shadow | None = None
    before: Artefact | None = None
    instead_of: Annotated[int, Meta(ge=0)] | None = None
    reason: Annotated[str, Meta(max_length=200)] = ""


_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(ModelChange).decode


def encode(change: ModelChange) -> bytes:
    """The record's value."""
    return _ENCODE(change)


def decode(value: bytes) -> ModelChange:
    """Raises EventError naming the field."""
    try:
        return _DECODE(value)
    except UnicodeDecodeError as error:
        raise EventError("malformed_json", "Not JSON in UTF-8", stage="decode") from error
    except RecursionError as error:
        raise EventError("size_violation", "Nested too deep", stage="decode") from error
    except msgspec.DecodeError as error:
        raise EventError("schema_violation", str(error)[:200], stage="decode") from error


def taken_back(change: ModelChange, offset: int, reason: str) -> ModelChange | None:
    """The record that takes this one back; None where there is nothing before it."""
    if change.before is None:
        return None
    back = change.before
    return ModelChange(digest=back.digest, path=back.path, instead_of=offset, reason=reason[:200])
