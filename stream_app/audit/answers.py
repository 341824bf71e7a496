"""What the output topics say of input offsets: predicted, late, dead-lettered or routed. About 200 bytes each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from stream_app.events.hashing import hash64
from stream_app.outputs.topics import TopicNames
from stream_app.records import RecordLike

Place = tuple[str, int, int]
"""Topic, partition and offset of a record."""


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What of a prediction the audit needs."""

    user_id: str
    source: str | None
    event_id: str
    positions: dict[str, int]
    feature_digest: str
    tier: str = "full"

    @property
    def identity(self) -> int:
        """See `identity`."""
        return identity(self.user_id, self.source, self.event_id)


class SetAside(NamedTuple):
    """Where an input record went instead of being predicted."""

    fate: str
    stage: str = ""  # of a dead letter


decode_answer = msgspec.json.Decoder(Answer).decode


def identity(user: str, source: str | None, event_id: str) -> int:
    """What two copies of one event share."""
    return hash64(f"{user}\0{source or ''}\0{event_id}")


class Answers:
    """All outputs of a run, by what they answer."""

    def __init__(self, names: TopicNames) -> None:
        self._names = names
        self._headers = {
            names.late_events: ("late", "late"),
            names.dead_letters: ("dead_lettered", "__streams.errors"),
            names.repartition: ("routed", "origin"),
        }
        self._inputs = {name: at for at, name in enumerate((*names.inputs, names.repartition))}
        self._predicted: dict[int, tuple[int, tuple[int, ...]]] = {}  # identity → partition, next offset per input
        self._unmatched: set[int] = set()  # identities of predictions that no input has claimed
        self._set_aside: dict[Place, SetAside] = {}
        self.repeated = 0
        self.tiers: Counter[str] = Counter()

    @property
    def unmatched(self) -> int:
        """Predictions that no input offset has claimed."""
        return len(self._unmatched)

    def add(self, records: Sequence[RecordLike]) -> None:
        """Records of predictions, late events, dead letters and the repartition topic."""
        for record in records:
            if record.topic == self._names.predictions:
                self._predict(record)
            else:
                fate, prefix = self._headers[record.topic]
                headers = dict(record.headers)  # where a name comes twice, the last one holds
                topic, partition, offset = (headers[f"{prefix}.{part}"] for part in ("topic", "partition", "offset"))
                place = (topic.decode(), int(partition), int(offset))
                self.repeated += place in self._set_aside
                self._set_aside[place] = SetAside(fate, headers.get("dlq.stage", b"").decode())

    def set_aside(self, place: Place) -> SetAside | None:
        """Whether the record at that place was late, dead-lettered or routed."""
        return self._set_aside.get(place)

    def predicted(self, event: int, place: Place) -> bool | None:
        """Whether the prediction of an event answers the copy at that place; None when nothing predicts the event."""
        topic, partition, offset = place
        if (found := self._predicted.get(event)) is None or found[0] != partition:
            return None
        if found[1][self._inputs[topic]] != offset + 1:
            return False
        self._unmatched.discard(event)
        return True

    def _predict(self, record: RecordLike) -> None:
        answer = decode_answer(record.value or b"{}")
        event = answer.identity
        self.tiers[answer.tier] += 1
        self.repeated += event in self._predicted
        self._predicted[event] = (record.partition, tuple(answer.positions.get(name, 0) for name in self._inputs))
        self._unmatched.add(event)
