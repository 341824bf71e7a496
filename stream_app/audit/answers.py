"""What the output topics say of the input offsets of one partition number: predicted, or set aside, and how.

Arrays, not objects: about 80 bytes a prediction and 10 a record set aside, of one partition number at a time.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_app.events.hashing import hash64
from stream_app.outputs.topics import TopicNames
from stream_app.records import RecordLike

SET_ASIDE = ("late", "dead_lettered", "poisoned", "routed")
"""Where an input record went instead of being predicted; `poisoned`: a dead letter that only the model refused."""
PLACE_BITS = 56
DIGEST_BYTES = 16
INFERENCE = b"inference"
ITEMS_INDEX, IN_GRACE = "items_index", "time_in_grace"
"""As predictions name them; importing those would import torch, ten times the audit's memory."""
NONE = -1


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What of a prediction the audit needs."""

    source: str | None
    event_id: str
    positions: dict[str, int]
    feature_digest: str
    tier: str = "full"
    quality_flags: tuple[str, ...] = ()


decode_answer = msgspec.json.Decoder(Answer).decode


def identity(source: str | None, event_id: str) -> int:
    """What two copies of one event share: the `identity` of an EventBatch."""
    return hash64(f"{source or ''}\0{event_id}")


def place(at: int, offset: int) -> int:
    """One number for an offset of input `at`."""
    return at << PLACE_BITS | offset


@dataclass(frozen=True)
class Answers:
    """Outputs of one partition number, by what they answer. Predictions are in the order in which they were made."""

    offset: NDArray[np.int64]  # (n,) of the prediction
    identity: NDArray[np.uint64]  # (n,)
    positions: NDArray[np.int64]  # (n, inputs): next offset per input that the state had seen
    digest: NDArray[np.uint8]  # (n, DIGEST_BYTES) of the features
    index: NDArray[np.int64]  # (n,) position of the recommendation index
    in_grace: NDArray[np.uint8]  # (n,) 1 where the event was behind the watermark
    places: NDArray[np.int64]  # (m,) of records set aside, sorted
    fates: NDArray[np.uint8]  # (m,) index into SET_ASIDE
    tiers: Counter[str]  # predictions per tier: what they left out under overload

    @cached_property
    def repeated(self) -> int:
        """Events that were predicted, or records that were set aside, more than once."""
        repeats = [len(column) - len(np.unique(column)) for column in (self.identity, self.places)]
        return sum(repeats)

    @cached_property
    def seen(self) -> NDArray[np.int64]:
        """(n, inputs): `positions` that only grow: a restart begins with 0 for inputs that bring nothing."""
        seen: NDArray[np.int64] = np.maximum.accumulate(self.positions, axis=0)
        return seen

    def set_aside(self, at: int, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """(k,) index into SET_ASIDE for each offset of input `at`; NONE where it was not."""
        if not len(self.places):
            return np.full(len(offsets), NONE)
        wanted = place(at, 0) + offsets
        found = np.minimum(np.searchsorted(self.places, wanted), len(self.places) - 1)
        return np.where(self.places[found] == wanted, self.fates[found].astype(np.int64), NONE)

    def predictions(
        self, at: int, offsets: NDArray[np.int64], identities: NDArray[np.uint64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(k,) which prediction answers each event of input `at`, else NONE; and whether any predicts its identity."""
        order, ordered = self._by_identity
        first = np.searchsorted(ordered, identities, "left")
        last = np.searchsorted(ordered, identities, "right")
        known = last > first
        own = np.full(len(offsets), NONE)
        for step in range(int((last - first).max(initial=0))):  # more than one step only where some are repeated
            tried = np.flatnonzero((own == NONE) & (first + step < last))
            made = order[first[tried] + step]
            right = self.positions[made, at] == offsets[tried] + 1
            own[tried[right]] = made[right]
        return own, known

    @cached_property
    def _by_identity(self) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        order = np.argsort(self.identity, kind="stable")
        return order, self.identity[order]


class Reading:
    """Collects the outputs of one partition number; `answers` makes arrays of them."""

    def __init__(self, names: TopicNames) -> None:
        self._names = names
        self._inputs = {name: at for at, name in enumerate((*names.inputs, names.repartition))}
        self._offset = array("q")
        self._identity = array("Q")
        self._positions = array("q")
        self._digest = bytearray()
        self._index = array("q")
        self._in_grace = bytearray()
        self._places = array("q")
        self._fates = array("B")
        self._tiers: Counter[str] = Counter()

    def add(self, records: Sequence[RecordLike]) -> None:
        """Records of predictions, late events and dead letters, each topic in its order."""
        for record in records:
            if record.topic == self._names.predictions:
                self._predict(record)
            elif record.topic == self._names.late_events:
                self._set_aside(record, "late.", "late")
            else:
                poisoned = dict(record.headers).get("dlq.stage") == INFERENCE
                self._set_aside(record, "__streams.errors.", "poisoned" if poisoned else "dead_lettered")

    def routed(self, places: Sequence[int]) -> None:
        """Records that left this partition number for another one."""
        self._places.extend(places)
        self._fates.extend([SET_ASIDE.index("routed")] * len(places))

    def answers(self) -> Answers:
        """What was added."""
        places, inputs = np.frombuffer(self._places, np.int64), len(self._inputs)
        order = np.argsort(places, kind="stable")
        return Answers(
            offset=np.frombuffer(self._offset, np.int64),
            identity=np.frombuffer(self._identity, np.uint64),
            positions=np.frombuffer(self._positions, np.int64).reshape(-1, inputs),
            digest=np.frombuffer(self._digest, np.uint8).reshape(-1, DIGEST_BYTES),
            index=np.frombuffer(self._index, np.int64),
            in_grace=np.frombuffer(self._in_grace, np.uint8),
            places=places[order],
            fates=np.frombuffer(self._fates, np.uint8)[order],
            tiers=self._tiers,
        )

    def _set_aside(self, record: RecordLike, prefix: str, fate: str) -> None:
        """The input record that these headers name, if it is one; where a name comes twice, the last one holds."""
        headers = dict(record.headers)
        at = self._inputs.get(headers[f"{prefix}topic"].decode())
        if at is None:
            return  # of the catalogue or the control topic
        self._places.append(place(at, int(headers[f"{prefix}offset"])))
        self._fates.append(SET_ASIDE.index(fate))

    def _predict(self, record: RecordLike) -> None:
        answer = decode_answer(record.value or b"{}")
        self._offset.append(record.offset)
        self._identity.append(identity(answer.source, answer.event_id))
        self._positions.extend([answer.positions.get(name, 0) for name in self._inputs])
        self._digest += bytes.fromhex(answer.feature_digest)
        self._index.append(answer.positions.get(ITEMS_INDEX, 0))
        self._in_grace.append(IN_GRACE in answer.quality_flags)
        self._tiers[answer.tier] += 1
