"""What the live page shows: at most four snapshots a second, nothing at all while nobody watches.

No text that a person wrote leaves this file, and of a user only a short keyed hash.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Any

import orjson

from stream_app.insights.part import Part
from stream_app.metrics import Metrics, read
from stream_app.records import OutputRecord
from stream_app.web.status import Status

INTERVAL_S = 0.25
HEARTBEAT_S = 1.0
RATE_WINDOW_S = 2.0
LATENCY_WINDOW_S = 10.0
SHOWN_PREDICTIONS, SHOWN_SIGNALS = 8, 30
NEW_PREDICTIONS = 2
"""Per snapshot; a person cannot read more."""
REMEMBERED_SIGNALS = 4096
REMEMBERED_SHOPPERS = 512
DOTS, NEW_DOTS = 150, 16
"""Shoppers on the map, and how many of them a snapshot may move."""


class Live:
    """Fans snapshots out to the watchers. `feed` may be called from any thread, the rest from the event loop's."""

    def __init__(self, metrics: Metrics, status: Status, *, watchers: int = 32) -> None:
        self._metrics, self._status, self._limit = metrics, status, watchers
        self._queues: set[asyncio.Queue[bytes | None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._key = secrets.token_bytes(16)
        self._fresh: deque[bytes] = deque(maxlen=NEW_PREDICTIONS)
        self._signalled: deque[bytes] = deque(maxlen=1024)
        self._seen: OrderedDict[tuple[str, str, str | int], None] = OrderedDict()
        self._samples: deque[dict[str, Any]] = deque()
        self._predictions: deque[dict[str, Any]] = deque(maxlen=SHOWN_PREDICTIONS)
        self._signals: deque[dict[str, Any]] = deque(maxlen=SHOWN_SIGNALS)
        self._placed: deque[bytes] = deque(maxlen=NEW_DOTS)
        self._dots: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._number = 0
        self._shown: OrderedDict[str, str] = OrderedDict()  # name on the page → user id
        self.insights: Callable[[], Sequence[Part]] = tuple
        """Where the newest aggregates come from; set by the owner."""
        self._closed = False

    @property
    def watched(self) -> bool:
        """Ask this before `feed`: False means that nobody would see it."""
        return bool(self._queues)

    @property
    def full(self) -> bool:
        """No room for another watcher."""
        return self._closed or len(self._queues) >= self._limit

    def feed(self, outputs: Iterable[OutputRecord]) -> None:
        """Offer a committed batch's output records; a few of them are decoded later, in the loop."""
        for record in outputs:
            if record.value is None:
                continue
            if record.topic.endswith("predictions"):
                self._fresh.append(record.value)
                self._placed.append(record.value)
            elif record.topic.endswith("engagement") and b'"signals":["' in record.value:
                self._signalled.append(record.value)

    def user_of(self, name: str) -> str | None:
        """The id of a shopper by the name that the page showed lately."""
        return self._shown.get(name)

    async def watch(self) -> AsyncGenerator[bytes, None]:
        """JSON snapshots until the hub closes; a watcher that is too slow misses some."""
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=2)
        self._queues.add(queue)
        if self._task is None or self._task.done():
            self._samples.clear()
            self._task = asyncio.create_task(self._run(), name="live")
        try:
            while (snapshot := await queue.get()) is not None:
                yield snapshot
        finally:
            self._queues.discard(queue)
            if not self._queues and self._task is not None:
                self._task.cancel()
                self._task = None

    def close(self) -> None:
        """End every watcher."""
        self._closed = True
        for queue in self._queues:
            _put(queue, None)

    async def _run(self) -> None:
        last, sent_s = b"", 0.0
        try:
            while True:
                packed = orjson.dumps(self._snapshot())
                now_s = time.monotonic()
                if packed != last or now_s - sent_s >= HEARTBEAT_S:
                    last, sent_s = packed, now_s
                    for queue in self._queues:
                        _put(queue, packed)
                await asyncio.sleep(INTERVAL_S)
        except Exception:  # a watcher must not wait for a task that has failed; one that was cancelled had none left
            for queue in self._queues:
                _put(queue, None)
            raise

    def _snapshot(self) -> dict[str, Any]:
        """Everything the page shows, complete in itself."""
        self._take_in()
        now = self._sample()
        self._samples.append(now)
        while now["at_s"] - self._samples[0]["at_s"] > LATENCY_WINDOW_S:
            self._samples.popleft()
        before = next(s for s in self._samples if now["at_s"] - s["at_s"] <= RATE_WINDOW_S)
        elapsed_s = now["at_s"] - before["at_s"]

        def rate(total: float, earlier: float) -> float:
            return round((total - earlier) / elapsed_s, 1) if elapsed_s else 0.0

        latency = self._metrics.latency
        recent = now["latency"] - self._samples[0]["latency"]
        return {
            "ready": self._status.ready,
            "reasons": self._status.reasons,
            "model": now["model"],
            "types": {
                topic: {"total": int(total), "rate": rate(total, before["consumed"].get(topic, 0))}
                for topic, total in now["consumed"].items()
            },
            "predictions_rate": rate(now["predictions"], before["predictions"]),
            "latency_ms": {
                name: None if (found_s := latency.quantile(q, recent)) is None else round(found_s * 1e3, 1)
                for name, q in (("p50", 0.5), ("p99", 0.99))
            },
            "lag_records": int(now["lag"]),
            "verdicts": now["verdicts"],
            "predictions": list(self._predictions),
            "insights": self._insights(),
            "map": list(self._dots.values()),
            "signals": list(self._signals),
        }

    def _insights(self) -> list[dict[str, Any]]:
        """Of each metric the newest window that says at least half as much as another."""
        parts = [part for part in self.insights() if part.cells]
        most: dict[str, int] = {}
        for part in parts:
            most[part.metric] = max(len(part.cells), most.get(part.metric, 0))
        chosen: dict[str, Part] = {}
        for part in parts:  # newest first
            if 2 * len(part.cells) >= most[part.metric]:
                chosen.setdefault(part.metric, part)
        return [_insight(part) for part in chosen.values()]

    def _sample(self) -> dict[str, Any]:
        metrics = self._metrics
        verdicts: dict[str, int] = {}
        for (_, verdict), n in read(metrics.verdicts).items():
            verdicts[verdict] = verdicts.get(verdict, 0) + int(n)
        return {
            "at_s": time.monotonic(),
            "consumed": {topic: n for (topic,), n in read(metrics.consumed).items()},
            "predictions": sum(read(metrics.predictions).values()),
            "latency": metrics.latency.counts(),
            "lag": sum(read(metrics.lag).values()),
            "verdicts": verdicts,
            "model": " ".join(metrics.model_name),
        }

    def _take_in(self) -> None:
        while self._fresh:
            self._predictions.append(self._prediction(orjson.loads(self._fresh.popleft())))
        while self._placed:
            self._place(orjson.loads(self._placed.popleft()))
        while self._signalled:
            self._note_signals(orjson.loads(self._signalled.popleft()))

    def _place(self, record: dict[str, Any]) -> None:
        """Where a shopper is on the map: likely to buy to the right, likely to leave at the top."""
        outputs, user = record["outputs"], self._name(str(record.get("user_id")))
        scores = [(outputs.get(head) or {}).get("score") for head in ("purchase", "churn")]
        segment = (outputs.get("segment") or {}).get("label")
        if segment and None not in scores:
            self._dots[user] = {"user": user, "buys": scores[0], "leaves": scores[1], "segment": segment}
            self._dots.move_to_end(user)
            if len(self._dots) > DOTS:
                self._dots.popitem(last=False)

    def _prediction(self, record: dict[str, Any]) -> dict[str, Any]:
        """The few fields that the page shows, chosen by name."""
        outputs = {name: value for name, value in record["outputs"].items() if value is not None}
        return {
            **self._entry(record),
            **{name: outputs[name]["score"] for name in ("purchase", "churn", "anomaly") if name in outputs},
            **{name: outputs[name]["label"] for name in ("next_action", "sentiment", "segment") if name in outputs},
            "recommended": [r["product_id"] for r in outputs.get("recommendations", ())[:3]],
            "modalities": {name: share for name, share in record["modalities"].items() if share},
            "cold_start": record["cold_start"],
        }

    def _note_signals(self, record: dict[str, Any]) -> None:
        """A signal is news once per session, however often it is updated; tumbling windows only repeat it."""
        window = record["window"]
        if window["type"] != "session":
            return
        for name in record["signals"]:
            key = (record["user_id"], name, window["start"])
            if key in self._seen:
                self._seen.move_to_end(key)
                continue
            self._seen[key] = None
            if len(self._seen) > REMEMBERED_SIGNALS:
                self._seen.popitem(last=False)
            self._signals.append({**self._entry(record), "signal": name})

    def _entry(self, record: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        name = self._name(str(record.get("user_id")))
        return {"id": self._number, "at_ms": int(time.time() * 1000), "user": name}

    def _name(self, user: str) -> str:
        """A name made up for this run, under which the shopper can be asked for while remembered."""
        name = blake2b(user.encode(), key=self._key, digest_size=3).hexdigest()
        self._shown[name] = user
        self._shown.move_to_end(name)
        if len(self._shown) > REMEMBERED_SHOPPERS:
            self._shown.popitem(last=False)
        return name


def _insight(part: Part) -> dict[str, Any]:
    """A part as the page draws it."""
    cells = [{"key": cell.key, "users": cell.users, "count": cell.count, "mean": cell.mean} for cell in part.cells]
    return {"metric": part.metric, "start": part.window.start, "final": part.window.is_final, "cells": cells[:10]}


def _put(queue: asyncio.Queue[bytes | None], snapshot: bytes | None) -> None:
    """The newest always fits: the oldest gives way."""
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(snapshot)
