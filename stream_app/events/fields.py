"""The kinds of value that several event types share, with their bounds. JSON `null` always means absent."""

from typing import Annotated

from msgspec import Meta

MAX_EPOCH_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z
MAX_INT32 = 2**31 - 1

RFC_3339 = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,15})?([Zz]|[+-][0-9]{2}:[0-9]{2})"

Instant = (
    Annotated[
        str,
        Meta(
            max_length=41,
            description="RFC 3339 with offset, or epoch milliseconds in digits",
            extra_json_schema={"pattern": rf"^({RFC_3339}|[0-9]{{1,15}})$"},
        ),
    ]
    | Annotated[int, Meta(ge=0, le=MAX_EPOCH_MS, description="epoch milliseconds")]
)
"""A point in time as sent; `instants.milliseconds` reads it."""

Id = Annotated[str, Meta(min_length=1)]
EventId = Annotated[str, Meta(min_length=1, max_length=128)]
Amount = Annotated[float, Meta(ge=0, le=1e12, description="money")]
Duration = Annotated[float, Meta(ge=0, le=1e12, description="milliseconds")]
Count = Annotated[int, Meta(ge=0, le=MAX_INT32)]
Rank = Annotated[int, Meta(ge=1, le=MAX_INT32, description="1-based")]
Share = Annotated[float, Meta(ge=0, le=1)]
Currency = Annotated[
    str,
    Meta(
        min_length=3,
        max_length=4,
        description="ISO 4217 code, or four letters or digits",
        extra_json_schema={"pattern": "^[A-Za-z0-9]{3,4}$"},
    ),
]
