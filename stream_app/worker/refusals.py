"""Bad records of the catalogue, on their way to the dead letters: each once, whatever crashes.

Every worker reads the whole catalogue; the task of a record's partition number sets it aside in its own transaction,
and its changelog says up to which offset that was done.
"""

from __future__ import annotations

from collections.abc import Mapping

from stream_app.errors import EventError
from stream_app.events.dead_letters import dead_letter
from stream_app.outputs.topics import TopicNames
from stream_app.records import OutputRecord, RecordLike

KEY = b"\0catalogue"
"""In the changelog; its value is the next offset."""


class Refusals:
    """Of one task's partition of the catalogue, in offset order."""

    def __init__(self, names: TopicNames) -> None:
        self._names = names
        self._waiting: list[tuple[RecordLike, EventError]] = []
        self.position = 0
        """What lies below it has been set aside, or is about to be."""

    def __len__(self) -> int:
        return len(self._waiting)

    def restore(self, pairs: Mapping[bytes, bytes | None]) -> None:
        """Take the position from the changelog."""
        self.position = int(pairs.get(KEY) or 0)

    def own(self) -> dict[bytes, bytes]:
        """What the changelog holds of it once everything taken is committed."""
        settled = self._waiting[0][0].offset if self._waiting else self.position
        return {KEY: b"%d" % settled} if settled else {}

    def add(self, record: RecordLike, error: EventError) -> None:
        """To be set aside with the next transaction, unless it was."""
        if record.offset >= self.position:
            self._waiting.append((record, error))
            self.position = record.offset + 1

    def take(self) -> tuple[list[OutputRecord], list[EventError]]:
        """What to publish, and the faults to count."""
        if not self._waiting:
            return [], []
        waiting, self._waiting = self._waiting, []
        letters = [dead_letter(record, error, topic=self._names.dead_letters) for record, error in waiting]
        letters.append(OutputRecord(self._names.state, KEY, b"%d" % self.position))
        return letters, [error for _, error in waiting]
