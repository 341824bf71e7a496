"""The conservation ledger: per input partition, what became of each offset. Knows no broker."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from stream_app.audit.answers import Answers, Place, identity
from stream_app.events import EventBatch, Rejected, decode
from stream_app.outputs.topics import TopicNames
from stream_app.records import RecordLike
from stream_app.worker.routing import event_type_of

FATES = ("predicted", "duplicate", "late", "partial", "dead_lettered", "routed", "pending", "unexplained")
"""`pending`: beyond what the consumer group has committed."""
NAMED = 100
"""So many unexplained offsets are named; all are counted."""


class Unexplained(NamedTuple):
    """An offset that was consumed and of which no output tells."""

    topic: str
    partition: int
    offset: int
    why: str


@dataclass
class Ledger:
    """Add the outputs to `answers` first, then the inputs in offset order, then ask for the result."""

    names: TopicNames
    committed: Mapping[tuple[str, int], int]  # next offset of the consumer group, per input partition
    answers: Answers
    counts: defaultdict[tuple[str, int], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    unexplained: list[Unexplained] = field(default_factory=list)
    _poisoned: set[int] = field(default_factory=set)
    _open: list[tuple[Place, int]] = field(default_factory=list)

    def add(self, topic: str, partition: int, records: Sequence[RecordLike]) -> None:
        """Records of one input partition."""
        for kind, same in self._kinds(topic, records).items():
            decoded = decode(same, event_type=kind, source_input=0)
            for one in decoded.rejected:
                self._refused(one)
            self._events(topic, partition, decoded.events)

    def result(self, *, whole: bool) -> dict[str, Any]:
        """Counts, and what is wrong. `whole`: every input was added, so that each prediction must have found one."""
        for place, event in self._open:
            if event in self._poisoned:
                self.counts[place[:2]]["duplicate"] += 1
            else:
                self._miss(place, "no output tells of it")
        self._open.clear()
        totals: Counter[str] = sum(self.counts.values(), Counter())
        return {
            "partitions": [
                {"topic": topic, "partition": partition, "records": count.total(), **_all(count)}
                for (topic, partition), count in sorted(self.counts.items())
            ],
            **_all(totals),
            "records": totals.total(),
            "tiers": dict(self.answers.tiers),
            "repeated": self.answers.repeated,
            "unknown": self.answers.unmatched if whole else 0,
            "offsets": [one._asdict() for one in self.unexplained],
        }

    def _kinds(self, topic: str, records: Sequence[RecordLike]) -> dict[str, list[RecordLike]]:
        if topic != self.names.repartition:
            return {self.names.event_type(topic): list(records)}
        kinds: defaultdict[str, list[RecordLike]] = defaultdict(list)
        for record in records:
            kinds[event_type_of(record, self.names)].append(record)
        return kinds

    def _refused(self, one: Rejected) -> None:
        place = (one.record.topic, one.record.partition, one.record.offset)
        if (aside := self.answers.set_aside(place)) is not None:
            self.counts[place[:2]][aside.fate] += 1
        else:
            self._miss(place, f"refused ({one.error.code}), but not dead-lettered")

    def _events(self, topic: str, partition: int, events: EventBatch) -> None:
        count = self.counts[topic, partition]
        columns = (events.offset, events.user, events.source, events.event_id, events.partial)
        for offset, user, source, event_id, partial in zip(*(c.tolist() for c in columns), strict=True):
            place, event = (topic, partition, offset), identity(user.decode(), source, event_id)
            if (aside := self.answers.set_aside(place)) is not None:
                count[aside.fate] += 1
                if aside.stage == "inference":
                    self._poisoned.add(event)
            elif partial:
                self._pass(place, "partial")
            elif (own := self.answers.predicted(event, place)) is not None:
                count["predicted" if own else "duplicate"] += 1
            elif self._consumed(place):
                self._open.append((place, event))
            else:
                count["pending"] += 1

    def _pass(self, place: Place, fate: str) -> None:
        self.counts[place[:2]][fate if self._consumed(place) else "pending"] += 1

    def _miss(self, place: Place, why: str) -> None:
        if not self._consumed(place):
            self.counts[place[:2]]["pending"] += 1
            return
        self.counts[place[:2]]["unexplained"] += 1
        if len(self.unexplained) < NAMED:
            self.unexplained.append(Unexplained(*place, why))

    def _consumed(self, place: Place) -> bool:
        return place[2] < self.committed.get(place[:2], 0)


def _all(count: Mapping[str, int]) -> dict[str, int]:
    return {fate: count.get(fate, 0) for fate in FATES}
