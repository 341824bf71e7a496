"""The conservation ledger: per input partition, what became of each offset. Knows no broker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_app.audit.answers import NONE, SET_ASIDE, Answers
from stream_app.audit.inputs import decoded
from stream_app.events import EventBatch, Rejected
from stream_app.outputs.topics import TopicNames
from stream_app.records import RecordLike

FATES = (
    "predicted",
    "duplicate",
    "late",
    "partial",
    "suppressed",
    "dead_lettered",
    "routed",
    "pending",
    "expired",
    "unexplained",
)
"""`pending`: beyond what the consumer group has committed. `expired`: before what the predictions still go back to."""
NAMED = 100
"""So many unexplained offsets are named; all are counted."""
UNANSWERED = "no output tells of it"


class Unexplained(NamedTuple):
    """An offset that was consumed and of which no output tells."""

    topic: str
    partition: int
    offset: int
    why: str


class Ledger:
    """One partition number: add its inputs, in offset order each, then close. Counts and what is wrong add up."""

    def __init__(
        self,
        names: TopicNames,
        partition: int,
        answers: Answers,
        *,
        committed: Mapping[tuple[str, int], int],  # next offset of the consumer group, per input partition
        begins: Mapping[tuple[str, int], int] | None = None,  # first offset that is still there; 0 where not named
    ) -> None:
        self.counts: dict[str, Counter[str]] = {}  # per input topic
        self.unexplained: list[Unexplained] = []
        self._names = names
        self._partition = partition
        self._answers = answers
        self._inputs = {name: at for at, name in enumerate((*names.inputs, names.repartition))}
        self._committed = [committed.get((name, partition), 0) for name in self._inputs]
        self._begins = [(begins or {}).get((name, partition), 0) for name in self._inputs]
        self._expiring = (begins or {}).get((names.predictions, partition), 0) > 0
        self._claimed = np.zeros(len(answers.identity), np.bool_)
        self._poisoned: list[NDArray[np.uint64]] = []  # identities
        self._open: list[tuple[str, NDArray[np.int64], NDArray[np.uint64]]] = []  # topic, offsets, identities

    def add(self, topic: str, records: Sequence[RecordLike]) -> None:
        """Records of one input; at least one."""
        at = self._inputs[topic]
        events, rejected = decoded(topic, records, names=self._names, at=at)
        count = self.counts.setdefault(topic, Counter())
        self._refused(topic, at, rejected)
        if len(events):
            self._events(topic, at, events, count)

    def close(self) -> None:
        """Every input was added."""
        poisoned = np.concatenate(self._poisoned) if self._poisoned else np.empty(0, np.uint64)
        for topic, offsets, identities in self._open:
            copies = np.isin(identities, poisoned)
            self.counts[topic]["duplicate"] += int(copies.sum())
            for offset in offsets[~copies].tolist():
                self._miss(topic, offset, UNANSWERED)
        self._open.clear()

    @property
    def unclaimed(self) -> int:
        """Predictions that answer no record, where every input was added and the record may not have expired."""
        seen = self._answers.seen
        moved = np.diff(seen, axis=0, prepend=np.zeros((1, seen.shape[1]), np.int64)) > 0
        gone = (moved & (seen <= self._begins)).any(axis=1)
        return int((~self._claimed & ~gone).sum())

    def _refused(self, topic: str, at: int, rejected: Sequence[Rejected]) -> None:
        offsets = np.array([one.record.offset for one in rejected], np.int64)
        for one, aside in zip(rejected, self._answers.set_aside(at, offsets).tolist(), strict=True):
            if aside != NONE:
                self.counts[topic][_fate(aside)] += 1
            elif one.record.offset >= self._committed[at]:
                self.counts[topic]["pending"] += 1
            elif self._forgotten(at, np.array([one.record.offset]))[0]:
                self.counts[topic]["expired"] += 1
            else:
                self._miss(topic, one.record.offset, f"refused ({one.error.code}), but not dead-lettered")

    def _events(self, topic: str, at: int, events: EventBatch, count: Counter[str]) -> None:
        answers, offsets, identities = self._answers, events.offset, events.identity
        aside = answers.set_aside(at, offsets)
        for code, name in enumerate(SET_ASIDE):
            count[_fate(code)] += int((aside == code).sum())
            if name == "poisoned" and (aside == code).any():
                self._poisoned.append(identities[aside == code])
        left = aside == NONE
        consumed = offsets < self._committed[at]
        partial = left & events.partial
        count["partial"] += int((partial & consumed).sum())
        own, known = answers.predictions(at, offsets, identities)
        left &= ~partial
        predicted, duplicate = left & (own != NONE), left & (own == NONE) & known
        self._claimed[own[predicted]] = True
        count["predicted"] += int(predicted.sum())
        count["duplicate"] += int((duplicate & consumed).sum())
        left &= ~known
        forgotten = left & consumed & self._forgotten(at, offsets)
        count["expired"] += int(forgotten.sum())
        count["pending"] += int(((left | partial | duplicate) & ~consumed).sum())
        left &= consumed & ~forgotten
        if left.any():
            self._open.append((topic, offsets[left], identities[left]))

    def _forgotten(self, at: int, offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Consumed before the oldest prediction that is still there, where older ones have expired."""
        if not self._expiring or not len(self._answers.positions):
            return np.zeros(len(offsets), np.bool_)
        forgotten: NDArray[np.bool_] = offsets < self._answers.positions[0, at]
        return forgotten

    def _miss(self, topic: str, offset: int, why: str) -> None:
        self.counts[topic]["unexplained"] += 1
        if len(self.unexplained) < NAMED:
            self.unexplained.append(Unexplained(topic, self._partition, offset, why))


def _fate(aside: int) -> str:
    name = SET_ASIDE[aside]
    return "dead_lettered" if name == "poisoned" else name


class Accounts:
    """What the ledgers of all partition numbers say together."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._totals: Counter[str] = Counter()
        self._named: list[Unexplained] = []
        self._repeated = self._unknown = 0
        self._tiers: Counter[str] = Counter()

    def add(self, ledger: Ledger, partition: int, answers: Answers, *, whole: bool) -> None:
        """A closed ledger. `whole`: every input was added, so that each prediction must have found one."""
        for topic, count in sorted(ledger.counts.items()):
            self._rows.append(
                {"topic": topic, "partition": partition, "records": count.total(), **_all(count)},
            )
            self._totals += count
        self._named += ledger.unexplained[: NAMED - len(self._named)]
        self._repeated += answers.repeated
        self._tiers += answers.tiers
        self._unknown += ledger.unclaimed if whole else 0

    def result(self) -> dict[str, Any]:
        """Counts, and what is wrong."""
        return {
            "partitions": sorted(self._rows, key=lambda row: (row["topic"], row["partition"])),
            **_all(self._totals),
            "records": self._totals.total(),
            "tiers": dict(self._tiers),
            "repeated": self._repeated,
            "unknown": self._unknown,
            "offsets": [one._asdict() for one in self._named],
        }


def _all(count: Mapping[str, int]) -> dict[str, int]:
    return {fate: count.get(fate, 0) for fate in FATES}
