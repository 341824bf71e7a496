"""One dead letter, taken apart: what was wrong, and the record that it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from stream_app.errors import SettingsError
from stream_app.events.dead_letters import HEADERS
from stream_app.records import OutputRecord, RecordLike
from stream_app.worker.routing import ORIGIN, ORIGIN_HEADERS

FILTERS = ("code", "stage", "field", "topic", "partition", "offset")
"""What `--filter name=value` may name; topic, partition and offset are those of the original record."""
ADDED = frozenset((*HEADERS, *ORIGIN_HEADERS))


@dataclass(frozen=True)
class Letter:
    """A dead letter; nothing of it but its key is personal, and `facts` leaves that out."""

    record: RecordLike
    headers: Mapping[str, str]  # the added ones

    @staticmethod
    def of(record: RecordLike) -> Letter:
        """The letter; where a header comes twice the last one holds."""
        return Letter(record, {name: value.decode() for name, value in record.headers if name in ADDED})

    @property
    def topic(self) -> str:
        """The topic that the record first came in on."""
        return self.headers.get(ORIGIN) or self.headers["__streams.errors.topic"]

    @property
    def partition(self) -> str:
        """Of that topic."""
        return self.headers.get("origin.partition") or self.headers["__streams.errors.partition"]

    @property
    def offset(self) -> str:
        """In that partition."""
        return self.headers.get("origin.offset") or self.headers["__streams.errors.offset"]

    def facts(self) -> dict[str, Any]:
        """What to list of it."""
        return {
            "letter": f"{self.record.partition}/{self.record.offset}",
            "topic": self.topic,
            "partition": int(self.partition),
            "offset": int(self.offset),
            "code": self.headers["dlq.code"],
            "stage": self.headers["dlq.stage"],
            "field": self.headers["dlq.field"],
            "message": self.headers["__streams.errors.message"],
            "time": datetime.fromtimestamp(self.record.timestamp / 1000, UTC).isoformat(timespec="milliseconds"),
            "size_bytes": len(self.record.value or b""),
        }

    def matches(self, wanted: Mapping[str, str]) -> bool:
        """Every one of the wanted facts holds."""
        facts = self.facts()
        return all(str(facts[name]) == value for name, value in wanted.items())

    def original(self) -> OutputRecord:
        """The record as it was sent, for the partition it was on: key, value, headers and time."""
        headers: Sequence[tuple[str, bytes]] = [
            (name, value) for name, value in self.record.headers if name not in ADDED
        ]
        return OutputRecord(
            self.topic, self.record.key, self.record.value, headers, self.record.timestamp, int(self.partition)
        )


def parse_filters(given: Sequence[str]) -> dict[str, str]:
    """`name=value` pairs. Raises SettingsError naming the one that is none."""
    wanted: dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or name not in FILTERS:
            raise SettingsError(f"--filter {one!r}: give name=value, the name one of {', '.join(FILTERS)}")
        wanted[name] = value
    return wanted
