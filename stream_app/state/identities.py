"""Which events were accepted, for as long as a repetition would not be late anyway. Knows no users."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Change = tuple[int, bytes | None]
CHUNK = np.dtype([("identity", "u8"), ("forget_ms", "i8")])
PAGE = 1 << 16
"""Entries that are allocated together, 1 MiB. Thousands of small arrays that live for minutes, each where a batch has
just left room, would cut the heap into holes."""


class Identities:
    """Identity → the watermark from which it is forgotten. Chunks of them are what the changelog holds."""

    def __init__(self) -> None:
        self._forget: dict[int, int] = {}
        self._fresh: list[NDArray[np.void]] = []  # CHUNK, not yet in a chunk of the changelog
        self._chunks: list[tuple[int, int, NDArray[np.void]]] = []  # heap of (last forget_ms, sequence, CHUNK)
        self._page = np.empty(0, CHUNK)  # what is left of it; it goes with its last chunk
        self._sequence = 0
        self._dropped: list[int] = []  # sequences

    def __len__(self) -> int:
        return len(self._forget)

    def repeated(
        self,
        identity: NDArray[np.uint64],
        forget_ms: NDArray[np.int64],
        watermark_ms: NDArray[np.int64],
        acceptable: NDArray[np.bool_],
    ) -> NDArray[np.bool_]:
        """Which of the n events repeat an accepted one, in this batch too: the first acceptable occurrence wins."""
        repeats = np.zeros(len(identity), np.bool_)
        ids = identity.tolist()
        known = self._forget
        distinct = set(ids)
        suspects: set[int] = set()
        if not known.keys().isdisjoint(distinct):
            suspects.update(at for at, one in enumerate(ids) if one in known)
        if len(distinct) < len(ids):
            order = np.argsort(identity, kind="stable")
            same = identity[order[1:]] == identity[order[:-1]]
            suspects.update(order[1:][same].tolist(), order[:-1][same].tolist())
        here: dict[int, int] = {}
        for at in sorted(suspects):
            one = ids[at]
            until = here.get(one, known.get(one))
            if until is not None and until > watermark_ms[at]:
                repeats[at] = True
            elif acceptable[at]:
                here[one] = int(forget_ms[at])
        return repeats

    def add(self, identity: NDArray[np.uint64], forget_ms: NDArray[np.int64]) -> None:
        """Remember accepted events."""
        if not len(identity):
            return
        chunk = np.empty(len(identity), CHUNK)
        chunk["identity"], chunk["forget_ms"] = identity, forget_ms
        self._fresh.append(chunk)
        self._learn(chunk)

    def forget(self, watermark_ms: int) -> None:
        """Drop what the watermark has passed; when that happens changes no answer."""
        known = self._forget
        while self._chunks and self._chunks[0][0] <= watermark_ms:
            _, sequence, chunk = heapq.heappop(self._chunks)
            self._dropped.append(sequence)
            for one, until in chunk.tolist():
                if known.get(one) == until:
                    del known[one]

    def changes(self) -> list[Change]:
        """Chunks to write, None where one is to be deleted."""
        changes: list[Change] = [(sequence, None) for sequence in self._dropped]
        self._dropped.clear()
        if self._fresh:
            chunk = self._placed(self._fresh)
            self._fresh.clear()
            heapq.heappush(self._chunks, (int(chunk["forget_ms"].max()), self._sequence, chunk))
            changes.append((self._sequence, chunk.tobytes()))
            self._sequence += 1
        return changes

    def chunks(self) -> list[tuple[int, bytes]]:
        """Those that the changelog holds."""
        return [(sequence, chunk.tobytes()) for _, sequence, chunk in self._chunks]

    def restore(self, chunks: Sequence[tuple[int, bytes]]) -> None:
        """Chunks as `changes` gave them; in any order."""
        for sequence, packed in sorted(chunks):
            chunk = self._placed([np.frombuffer(packed, CHUNK)])
            self._chunks.append((int(chunk["forget_ms"].max()), sequence, chunk))
            self._sequence = sequence + 1
            self._learn(chunk)
        heapq.heapify(self._chunks)

    def _placed(self, parts: Sequence[NDArray[np.void]]) -> NDArray[np.void]:
        """As one chunk, in a page."""
        size = sum(map(len, parts))
        if size > len(self._page):
            self._page = np.empty(max(size, PAGE), CHUNK)
        chunk, self._page = self._page[:size], self._page[size:]
        return np.concatenate(parts, out=chunk)

    def _learn(self, chunk: NDArray[np.void]) -> None:
        for until in np.unique(chunk["forget_ms"]).tolist():  # one per tumbling window
            self._forget.update(dict.fromkeys(chunk["identity"][chunk["forget_ms"] == until].tolist(), until))

    def memory_bytes(self) -> int:
        """About what it takes: a dict entry, an int and two chunk columns each."""
        return len(self._forget) * (104 + 32 + CHUNK.itemsize)
