"""A task's facts per tumbling window, and the parts that are published when a window's records are final."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from stream_app.errors import SettingsError
from stream_app.events import EventBatch
from stream_app.events.search import normalised
from stream_app.insights import METRICS
from stream_app.insights.facts import Facts
from stream_app.insights.part import Cell, Part
from stream_app.outputs.engagement import Window
from stream_app.outputs.times import rfc3339
from stream_app.records import RecordLike
from stream_app.settings import Insights
from stream_app.signals.funnel import STEPS, funnel_step
from stream_app.state.sequences import DEEDS, SEARCH
from stream_app.state.windows import SENTIMENT, TUMBLING, WindowBatch

Change = tuple[bytes, bytes | None]
OWN = b"\0insights"
"""First bytes of this file's keys in the changelog: then f and a window's start and chunk, or c and a product."""
FACTS, CATEGORY = OWN + b"f", OWN + b"c"
QUERY_CHARACTERS = 80
TWELFTHS = 12
PRODUCTS = 500_000
"""Products whose category is known to a task."""


class Named(msgspec.Struct):
    """What is read of a click once more: columns hold the category's hash only."""

    category: str | None = None


_DECODE = msgspec.json.Decoder(Named).decode


class Ledger:
    """Not thread-safe. In a batch: note per segment, settle per closed windows, expire, changes."""

    def __init__(
        self, partition: int, settings: Insights, *, tumbling_ms: int, grace_ms: int, segments: Sequence[str]
    ) -> None:
        if settings.window_ms % tumbling_ms:
            raise SettingsError("setting insights.window_ms: must be a multiple of state.tumbling_ms")
        self._partition, self._settings, self._segments = partition, settings, segments
        self._window_ms, self._grace_ms = settings.window_ms, grace_ms
        self._shown: dict[int, int] = {}  # window → the twelfth of it that was published last
        self._windows: dict[int, Facts] = {}
        self._categories: dict[str, str] = {}
        self._changes: list[Change] = []

    def note(self, events: EventBatch, records: Iterable[RecordLike], sentiment: NDArray[np.float32]) -> None:
        """n accepted events with their records and opinions (NaN: none)."""
        columns = (events.event_time_ms.tolist(), events.user, events.product, events.text, sentiment.tolist())
        kinds = np.where(events.action == SEARCH, 1, np.where(DEEDS[events.action], 2, 0)).tolist()
        for kind, record, time, user, product, text, said in zip(kinds, records, *columns, strict=True):
            if not kind and said != said:
                continue
            facts = self._facts(time)
            who = xxh3_64_intdigest(user)
            if kind == 1:
                if text:
                    facts.add("trending_queries", normalised(text)[:QUERY_CHARACTERS], who)
            elif kind == 2 and product:
                facts.add("trending_items", product, who)
                if product not in self._categories:
                    self._learn(product, record)
            if product and said == said:
                category = self._categories.get(product, "unknown")
                facts.add("category_sentiment", category, who, round(said * SENTIMENT))

    def settle(self, finals: WindowBatch) -> list[Part]:
        """Take in final records (of any revision); the parts of the windows that are over or went on by a twelfth."""
        chosen = np.flatnonzero(finals.rows["kind"] == TUMBLING)
        if not len(chosen) or not finals.is_final:
            return []
        rows = finals.rows[chosen]
        columns = (rows["start_ms"].tolist(), rows["scores"]["segment"].tolist(), funnel_step(finals)[chosen].tolist())
        for at, start, segment, step in zip(chosen.tolist(), *columns, strict=True):
            facts, who = self._facts(start), xxh3_64_intdigest(finals.users[at])
            facts.reach("funnel", who, step)
            if 0 <= segment < len(self._segments):
                facts.say("segments", who, segment)
        ends: dict[int, int] = {}
        for start, end in zip(columns[0], rows["end_ms"].tolist(), strict=True):
            window = start - start % self._window_ms
            ends[window] = max(end, ends.get(window, 0))
        return [part for window, end in sorted(ends.items()) for part in self._progress(window, end)]

    def expire(self, watermark_ms: int | None) -> list[Part]:
        """Forget the windows that no accepted event can reach; the parts of those not yet published as over."""
        parts: list[Part] = []
        if watermark_ms is None:
            return parts
        for start in [s for s in self._windows if s + self._window_ms + self._grace_ms <= watermark_ms]:
            parts += [] if self._shown.pop(start, 0) == TWELFTHS else self._parts(start, is_final=True)
            gone = self._windows.pop(start)
            self._changes += [(_chunk_key(start, sequence), None) for sequence in range(gone.chunks)]
        return parts

    def _progress(self, window: int, end_ms: int) -> list[Part]:
        twelfth = min((end_ms - window) * TWELFTHS // self._window_ms, TWELFTHS)
        if twelfth < TWELFTHS and twelfth <= self._shown.get(window, -1):
            return []
        self._shown[window] = max(twelfth, self._shown.get(window, 0))
        return self._parts(window, is_final=self._shown[window] == TWELFTHS)

    def changes(self) -> list[Change]:
        """What to write to the changelog since the last call."""
        changes, self._changes = self._changes, []
        for start, facts in self._windows.items():
            changes += [(_chunk_key(start, sequence), packed) for sequence, packed in facts.changes()]
        return changes

    def restore(self, pairs: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take over the changelog's entries that begin with OWN."""
        chunks: dict[int, list[tuple[int, bytes]]] = {}
        for key, value in pairs:
            if value is None:
                continue
            if key.startswith(CATEGORY):
                self._categories[key[len(CATEGORY) :].decode()] = value.decode()
            else:
                start, sequence = key[len(FACTS) : -4], key[-4:]
                chunks.setdefault(int.from_bytes(start, "big", signed=True), []).append(
                    (int.from_bytes(sequence, "big"), value)
                )
        for at, packed in chunks.items():
            self._facts(at).restore(packed)

    def _facts(self, time: int) -> Facts:
        """Of the window that holds this event time."""
        start = time - time % self._window_ms
        if (found := self._windows.get(start)) is None:
            found = self._windows[start] = Facts(self._settings.facts)
        return found

    def _learn(self, product: str, record: RecordLike) -> None:
        category = _DECODE(record.value or b"{}").category
        if category and len(self._categories) < PRODUCTS:
            self._categories[product] = category
            self._changes.append((CATEGORY + product.encode(), category.encode()))

    def _parts(self, start: int, *, is_final: bool) -> list[Part]:
        facts = self._windows[start]
        begin, end = rfc3339(np.array([start, start + self._window_ms]))
        window = Window("tumbling", begin, end, is_final)
        smallest, top = self._settings.min_users, self._settings.top
        parts = []
        for metric in METRICS:
            cells = self._cells(metric, facts)
            kept = [cell for cell in cells if cell.users >= smallest][:top]
            withheld = len(cells) - len(kept)
            parts.append(Part(metric, window, self._partition, smallest, facts.sampled, withheld, kept))
        return parts

    def _cells(self, metric: str, facts: Facts) -> list[Cell]:
        if metric == "funnel":
            reached = facts.values(metric)
            totals = [sum(n for step, n in reached.items() if step >= at) for at in range(len(STEPS))]
            return [Cell(name, n, n) for name, n in list(zip(STEPS, totals, strict=True))[1:] if n]
        if metric == "segments":
            sizes = [Cell(self._segments[value], n, n) for value, n in facts.values(metric).items()]
            return sorted(sizes, key=lambda cell: (-cell.users, cell.key))
        cells = [
            Cell(key, users, n, round(total / n / SENTIMENT, 4) if metric == "category_sentiment" else None)
            for key, (users, n, total) in facts.cells(metric).items()
        ]
        return sorted(cells, key=lambda cell: (-cell.users, -cell.count, cell.key))


def _chunk_key(start: int, sequence: int) -> bytes:
    return FACTS + start.to_bytes(8, "big", signed=True) + sequence.to_bytes(4, "big")
