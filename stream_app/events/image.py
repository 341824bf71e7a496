"""A picture that travels with an event: bytes, a ready embedding, or an address that is only recorded."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from msgspec import Meta, Struct

from stream_app.events.batch import Objects
from stream_app.events.columns import objects
from stream_app.events.faults import FieldFault

MAX_FLOAT32 = float(np.finfo(np.float32).max)

Data = Annotated[bytes, Meta(min_length=1, max_length=64 * 1024, description="JPEG, PNG or WebP")]
Number = Annotated[float, Meta(ge=-MAX_FLOAT32, le=MAX_FLOAT32)]
Embedding = Annotated[list[Number], Meta(min_length=1, max_length=4096)]


class Image(Struct, kw_only=True, gc=False):
    """Exactly one of its three fields is given."""

    data: Data | None = None
    embedding: Embedding | None = None
    url: Annotated[str, Meta(min_length=1)] | None = None

    rules: ClassVar[dict[str, Any]] = {
        "oneOf": [
            {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
            for name in ("data", "embedding", "url")
        ]
    }

    def __post_init__(self) -> None:
        if (self.data is None) + (self.embedding is None) + (self.url is None) != 2:
            raise FieldFault("", "needs exactly one of data, embedding and url")
        if self.data is not None and not is_picture(self.data):
            raise FieldFault("data", "is neither JPEG nor PNG nor WebP")


def is_picture(data: bytes) -> bool:
    """Whether the first bytes are those of a JPEG, PNG or WebP file; the pixels are not looked at."""
    return (
        data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))
        or (data.startswith(b"RIFF") and data[8:12] == b"WEBP")
    )  # fmt: skip


def pixels(images: Sequence[Image | None]) -> Objects:
    """Per event the file's bytes, the embedding as float32, or None (absent, or only an address)."""
    return objects([None if image is None else content(image) for image in images])


def content(image: Image) -> object:
    """What the image column holds for this image."""
    return image.data if image.embedding is None else np.array(image.embedding, np.float32)
