"""What has arrived for one task and is not yet taken: decoded, per input, merged in event-time order.

The merge depends on the log alone, not on when fetches came back: within an input records keep their order; across
inputs the smallest running maximum of event time goes first. An input that is known to hold more is waited for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stream_app.events import Rejected
from stream_app.events.batch import EventBatch, Objects

Ack = Callable[[], object]


@dataclass
class Arrival:
    """One decoded fetch of one input. `records` align with `events`; `rejected` are the rest, in offset order."""

    input: int
    events: EventBatch
    records: Objects  # (n,) RecordLike
    rejected: Sequence[Rejected]
    last_offset: int
    ack: Ack
    keys: NDArray[np.int64] = field(init=False)  # (n,) running maximum of event time within the input
    taken: int = 0

    def release(self, upto: int) -> tuple[slice, list[Rejected], int]:
        """Which events are taken..upto, the rejected records before the next one, and the next offset of the input."""
        start, self.taken = self.taken, upto
        whole = upto == len(self.events)
        position = self.last_offset + 1 if whole else int(self.events.offset[upto])
        rejected = [r for r in self.rejected if r.record.offset < position]
        self.rejected = self.rejected[len(rejected) :]
        return slice(start, upto), rejected, position


@dataclass(frozen=True)
class Taken:
    """A merged batch: what one transaction will account for."""

    events: EventBatch | None  # None when every record was rejected
    records: Objects  # (n,) RecordLike, aligned with events
    rejected: list[tuple[int, Rejected]]  # input index
    positions: dict[int, int]  # next offset per input that this batch moves
    acks: list[Ack]
    arrived_s: float  # when the oldest of it came in, monotonic


class Inbox:
    """Queues of one task; one coroutine takes, others push."""

    def __init__(self, inputs: int) -> None:
        self._queues: list[deque[Arrival]] = [deque() for _ in range(inputs)]
        self._last_key = [0] * inputs
        self._held = [0] * inputs  # events and rejected records waiting, per input
        self._arrived_s: float | None = None

    def push(self, arrival: Arrival, now_s: float) -> None:
        """Add what one fetch brought."""
        at = arrival.input
        keys = np.maximum.accumulate(np.maximum(arrival.events.event_time_ms, self._last_key[at]))
        arrival.keys = keys
        if len(keys):
            self._last_key[at] = int(keys[-1])
        self._queues[at].append(arrival)
        self._held[at] += len(keys) + len(arrival.rejected)
        if self._arrived_s is None:
            self._arrived_s = now_s

    def held(self, at: int) -> int:
        """Records waiting in one input."""
        return self._held[at]

    def __len__(self) -> int:
        return sum(self._held)

    @property
    def arrived_s(self) -> float | None:
        """When the oldest waiting record came in, monotonic seconds; None when empty."""
        return self._arrived_s

    @property
    def oldest_ms(self) -> int | None:
        """Kafka time of the oldest event that waits, as far as inputs are in order; None when there is none."""
        heads = [q[0].records[q[0].taken].timestamp for q in self._queues if q and q[0].taken < len(q[0].records)]
        return min(heads, default=None)

    def clear(self) -> None:
        """Forget everything: the partitions are going elsewhere, or the worker stops."""
        for queue in self._queues:
            queue.clear()
        self._held = [0] * len(self._held)
        self._last_key = [0] * len(self._last_key)
        self._arrived_s = None

    def take(self, limit: int, expecting: Sequence[int] = ()) -> Taken | None:
        """Up to `limit` events in merged order, or None when there is nothing (yet).

        `expecting` are the inputs known to hold more than has arrived: nothing that could come after their next
        record is taken.
        """
        expecting = [at for at in expecting if self._events(at) < limit]
        if any(not self._queues[i] for i in expecting) or not len(self):
            return None
        chosen = self._choose(limit, expecting)
        parts: list[tuple[Arrival, slice]] = []
        rejected: list[tuple[int, Rejected]] = []
        positions: dict[int, int] = {}
        acks: list[Ack] = []
        for at, queue in enumerate(self._queues):
            wanted = chosen[at]
            while queue and (wanted or len(queue[0].events) == queue[0].taken):
                head = queue[0]
                part, bad, positions[at] = head.release(min(head.taken + wanted, len(head.events)))
                size = part.stop - part.start
                wanted -= size
                self._held[at] -= size + len(bad)
                rejected += [(at, one) for one in bad]
                if size:
                    parts.append((head, part))
                if head.taken < len(head.events):
                    break
                acks.append(head.ack)
                queue.popleft()
        arrived_s = self._arrived_s or 0.0
        if not len(self):
            self._arrived_s = None
        if not parts:
            return Taken(None, np.empty(0, object), rejected, positions, acks, arrived_s)
        keys = np.concatenate([arrival.keys[part] for arrival, part in parts])
        order = np.argsort(keys, kind="stable")  # parts of one input are consecutive and in order
        merged = EventBatch.concat([arrival.events.take(part) for arrival, part in parts]).take(order)
        records = np.concatenate([arrival.records[part] for arrival, part in parts])[order]
        return Taken(merged, records, rejected, positions, acks, arrived_s)

    def _events(self, at: int) -> int:
        return sum(len(arrival.events) - arrival.taken for arrival in self._queues[at])

    def _choose(self, limit: int, expecting: Sequence[int]) -> list[int]:
        """How many events of each input come first in the merged order."""
        keys, inputs = [], []
        cut: tuple[int, int] | None = None
        for at, queue in enumerate(self._queues):
            held = 0
            for arrival in queue:
                part = arrival.keys[arrival.taken :][: limit - held]
                keys.append(part)
                inputs.append(np.full(len(part), at))
                held += len(part)
                if held >= limit:
                    break
            if at in expecting and queue:
                last = (self._last_key[at], at)
                cut = last if cut is None else min(cut, last)
        key, origin = np.concatenate(keys), np.concatenate(inputs)
        order = np.argsort(key, kind="stable")
        if cut is not None:
            key, origin = key[order], origin[order]
            safe = (key < cut[0]) | ((key == cut[0]) & (origin <= cut[1]))
            origin = origin[safe]
        else:
            origin = origin[order]
        counts: list[int] = np.bincount(origin[:limit], minlength=len(self._queues)).tolist()
        return counts
