"""Features made again from raw records, in the order that the predictions recorded, against their digests.

An answer that left something out under overload (`tiers` counts them) has the digest of a full one. A digest covers the
user's whole chain of events, so the first one that differs says which event did. It needs the log from its beginning,
and knows neither a time to live nor what only the model refused (dead letters of the stage `inference`, which are links
of the chain): a user's events after either are reported as mismatches.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stream_app.audit.answers import decode_answer, identity
from stream_app.events import EventBatch, decode
from stream_app.outputs.topics import TopicNames
from stream_app.records import RecordLike
from stream_app.state import StateSettings, TaskState
from stream_app.worker.routing import event_type_of

NOTHING = np.dtype([("nothing", "u8")])
CHUNK = 4_096


class Parity:
    """Add all predictions, then all inputs, then ask for the result."""

    def __init__(self, names: TopicNames, settings: Mapping[str, Any]) -> None:
        self._names = names
        self._settings = StateSettings(**settings)
        self._inputs = {name: at for at, name in enumerate((*names.inputs, names.repartition))}
        self._tiers: Counter[str] = Counter()
        self._digests: defaultdict[int, list[str]] = defaultdict(list)  # per partition, in its order
        self._wanted: dict[tuple[int, int], tuple[int, tuple[int, ...]]] = {}  # partition, identity → place, positions
        self._events: defaultdict[int, list[EventBatch]] = defaultdict(list)
        self._places: defaultdict[int, list[int]] = defaultdict(list)  # of the events among the partition's predictions

    def add_predictions(self, records: Sequence[RecordLike]) -> None:
        """In the order of each partition."""
        for record in records:
            answer = decode_answer(record.value or b"{}")
            self._tiers[answer.tier] += 1
            at = len(self._digests[record.partition])
            self._digests[record.partition].append(answer.feature_digest)
            positions = tuple(answer.positions.get(name, 0) for name in self._inputs)
            self._wanted.setdefault((record.partition, answer.identity), (at, positions))

    def add_inputs(self, topic: str, partition: int, records: Sequence[RecordLike]) -> None:
        """Records of one input partition: those that were predicted are kept."""
        at = self._inputs[topic]
        kinds: defaultdict[str, list[RecordLike]] = defaultdict(list)
        for record in records:
            routed = topic == self._names.repartition
            kinds[event_type_of(record, self._names) if routed else self._names.event_type(topic)].append(record)
        for kind, same in kinds.items():
            events = decode(same, event_type=kind, source_input=at).events
            columns = (events.offset, events.user, events.source, events.event_id)
            chosen: list[int] = []
            for i, (offset, user, source, event_id) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
                place, positions = self._wanted.get((partition, identity(user.decode(), source, event_id)), (-1, ()))
                if place >= 0 and positions[at] == offset + 1:
                    chosen.append(i)
                    self._places[partition].append(place)
            self._events[partition].append(events.take(np.array(chosen, np.int64)))

    def result(self) -> dict[str, Any]:
        """`mismatch`: other features; `missing`: predictions whose record is gone or was never there."""
        differing: list[dict[str, Any]] = []
        compared = mismatch = missing = extra = 0
        for partition, recorded in self._digests.items():
            again = self._again(partition)
            compared += len(again)
            missing += len(recorded) - len(set(again))
            extra += sum(len(found) - 1 for found in again.values())
            wrong = [at for at, found in sorted(again.items()) if recorded[at] != found[0][0]]
            mismatch += len(wrong)
            differing += [
                {"partition": partition, "prediction": at, "event_id": again[at][0][1], "mismatches": len(wrong)}
                for at in wrong[:1]
            ]
        return {
            "compared": compared,
            "mismatch": mismatch,
            "missing": missing,
            "extra": extra,
            "tiers": dict(self._tiers),
            "first_differing": differing,
        }

    def _again(self, partition: int) -> dict[int, list[tuple[str, str]]]:
        """Place among the partition's predictions → digest made again, and event id."""
        found: defaultdict[int, list[tuple[str, str]]] = defaultdict(list)
        if not self._events[partition]:
            return found
        places = np.array(self._places[partition], np.int64)
        order = np.argsort(places, kind="stable")
        events, places = EventBatch.concat(self._events[partition]).take(order), places[order]
        state = TaskState(self._settings, carried=NOTHING, history=1, inputs=len(self._inputs))
        for first in range(0, len(events), CHUNK):
            batch = events.take(slice(first, first + CHUNK))
            rows = state.update(batch)
            _, chain = state.features(batch, rows)
            for at, digest in zip(rows.order.tolist(), chain, strict=True):
                found[int(places[first + at])].append((digest.hex(), batch.event_id[at]))
            state.open_windows()
            state.changes()
        return found
