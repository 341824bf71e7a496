"""Work `full` by hand on aiokafka: the same model and catalogue index, the state of users in a dict, nothing durable.

It does less than the stream does: no windows, no signals, no late events, no dead letters, no changelog. Offsets are
committed once a second after a flush: at least once, and a crash loses every user.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from math import cos, log1p, nan, pi, sin
from typing import Any
from uuid import UUID, uuid5

import aiokafka
import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from fusion.features import NO_ACTION, NO_TRACK, NUMERICS, TRACKS, FeatureBatch, PredictionBatch
from fusion.heads.sentiment import LABELS as FEELINGS
from fusion.recommender import ItemActivity, strength_codes
from fusion.scorer import Scorer
from stream_app.events import ACTIONS, EVENT_TYPES, Event
from stream_app.events.hashing import hash64
from stream_app.events.image import content
from stream_app.events.review import picture, text
from stream_app.events.voice_transcript import word_confidence

BROKER, NAME, PREFIX = (os.environ[f"BENCH_{name}"] for name in ("BROKER", "NAME", "PREFIX"))
TOPICS = [f"{PREFIX}{name}" for name in EVENT_TYPES]
OUTPUT = f"{PREFIX}predictions"
MOST_EVENTS = 4_096
DAY_MS = 86_400_000
CODES = {name: code for code, name in enumerate(ACTIONS)}
STRENGTHS = strength_codes(ACTIONS)
DECODE = {f"{PREFIX}{name}": msgspec.json.Decoder(kind).decode for name, kind in EVENT_TYPES.items()}
NAMESPACE = UUID("6f0b6a52-3d0e-5c3a-9a57-5f6f3a1f3d10")
ENCODE = msgspec.json.Encoder().encode


@dataclass
class User:
    """What is known of one."""

    carried: Any  # () Scorer.carried_dtype
    history: deque[tuple[int, int, int]]  # item, action, time
    last_ms: int = -1
    began_ms: int = 0  # of the session
    seen: set[str] = field(default_factory=set)  # event ids; a service would have to bound it


@dataclass
class Fact:
    """An event as the model reads it."""

    event: Any
    user: str
    time_ms: int
    action: int
    product: str | None
    item: int
    gap_s: float
    began_ms: int
    said: str | None
    track: int


def milliseconds(stamp: int | str) -> int:
    """Epoch milliseconds of a contract time."""
    if isinstance(stamp, int):
        return stamp
    if stamp.isdigit():
        return int(stamp)
    return round(datetime.fromisoformat(stamp).timestamp() * 1000)


def rfc3339(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Loop:
    """State, model and what one fetch leads to."""

    def __init__(self) -> None:
        self.scorer = Scorer.load(device="cpu", actions=ACTIONS)
        self.users: dict[str, User] = {}
        self.position = 0

    def answer(self, records: Sequence[Any]) -> list[tuple[bytes, bytes]]:
        """Keys and values of the predictions, in the users' order."""
        facts: dict[str, list[Fact]] = {}
        before: dict[str, list[tuple[int, int, int]]] = {}
        for record in records:
            event: Event = DECODE[record.topic](record.value)
            user = event.user_id or event.anonymous_id
            if not user or not getattr(event, "is_final", True):
                continue
            known = self.users.get(user)
            if known is None:
                history: deque[tuple[int, int, int]] = deque(maxlen=self.scorer.history)
                known = self.users[user] = User(np.zeros((), self.scorer.carried_dtype), history)
            identity = f"{event.source or ''}\0{event.event_id}"
            if identity in known.seen:
                continue
            known.seen.add(identity)
            before.setdefault(user, list(known.history))
            facts.setdefault(user, []).append(self._fact(event, user, known))
        if not facts:
            return []
        every = list(chain.from_iterable(facts.values()))
        features = self._features(list(facts), facts, before, every)
        made = self.scorer.score(features)
        for row, user in enumerate(facts):
            self.users[user].carried = made.carried[row].copy()
        self._learn(every, features)
        return list(self._values(every, made))

    def _fact(self, event: Any, user: str, known: User) -> Fact:
        kind = type(event).__name__
        time_ms = milliseconds(event.event_time)
        if event.sent_at is not None and event.received_at is not None:
            time_ms += milliseconds(event.received_at) - milliseconds(event.sent_at)
        product = getattr(event, "product_id", None)
        item = hash64(product) if product else 0
        said, track, name = None, NO_TRACK, getattr(event, "action", "")
        if kind == "Search":
            said, name = event.query.strip() or None, "search"
        elif kind == "Review":
            said, name = text(event), "review"
        elif kind == "VoiceTranscript":
            mine = event.participant_role in ("customer", None)
            said, name = (event.transcript.strip() or None if mine else None), "voice"
        if said is not None:
            track = TRACKS.index("voice" if kind == "VoiceTranscript" else "text")
        action = CODES[name]
        gap_s = max(time_ms - known.last_ms, 0) / 1000 if known.last_ms >= 0 else -1.0
        if known.last_ms < 0 or gap_s >= 1_800:
            known.began_ms = time_ms
        known.last_ms = max(known.last_ms, time_ms)
        known.history.append((item, action, time_ms))
        return Fact(event, user, time_ms, action, product, item, gap_s, known.began_ms, said, track)

    def _features(
        self,
        users: list[str],
        facts: dict[str, list[Fact]],
        before: dict[str, list[tuple[int, int, int]]],
        every: list[Fact],
    ) -> FeatureBatch:
        n, length = len(every), self.scorer.history
        numerics = np.full((n, len(NUMERICS)), np.nan, np.float32)
        image, words = np.full(n, None, object), np.full(n, None, object)
        confidence = np.full(n, np.nan, np.float32)
        for at, fact in enumerate(every):
            event = fact.event
            angle = fact.time_ms % DAY_MS * (2 * pi / DAY_MS)
            rating = getattr(event, "rating", None)
            figures = (
                getattr(event, "price", None),
                getattr(event, "quantity", 1) or 1,
                getattr(event, "position", None),
                (getattr(event, "dwell_ms", None) or 0) / 1000 or None,
                getattr(event, "total_results", None),
            )
            logs = [nan if figure is None else log1p(figure) for figure in figures]
            numerics[at] = (*logs, nan if rating is None else float(rating), sin(angle), cos(angle))
            shown = picture(event.images) if getattr(event, "images", None) else getattr(event, "image", None)
            if shown is not None and shown.url is None:
                image[at] = content(shown)
            if fact.track == TRACKS.index("voice"):
                if event.confidence is not None:
                    confidence[at] = event.confidence
                words[at] = word_confidence(event)
        history = np.zeros((3, len(users), length), np.int64)
        history[1] = NO_ACTION
        item = np.zeros((len(users), length), np.uint64)
        for row, user in enumerate(users):
            if past := before[user]:
                items, actions, times = zip(*past, strict=True)
                item[row, -len(past) :] = items
                history[1, row, -len(past) :], history[2, row, -len(past) :] = actions, times
        said = np.empty(n, object)
        said[:] = [fact.said for fact in every]
        return FeatureBatch(
            row=np.repeat(np.arange(len(users)), [len(facts[user]) for user in users]),
            event_time_ms=np.array([fact.time_ms for fact in every], np.int64),
            action=np.array([fact.action for fact in every], np.uint8),
            item=np.array([fact.item for fact in every], np.uint64),
            category=np.array([_hash(fact.event, "category") for fact in every], np.uint64),
            brand=np.array([_hash(fact.event, "brand") for fact in every], np.uint64),
            gap_s=np.array([fact.gap_s for fact in every], np.float32),
            numerics=numerics,
            track=np.array([fact.track for fact in every], np.uint8),
            text=said,
            confidence=confidence,
            word_confidence=words,
            image=image,
            history_item=item,
            history_action=history[1].astype(np.uint8),
            history_time_ms=history[2],
            carried=np.array([self.users[user].carried for user in users], self.scorer.carried_dtype),
        )

    def _learn(self, every: list[Fact], features: FeatureBatch) -> None:
        """What happened to items, for the recommendations."""
        products = np.empty(len(every), object)
        products[:] = [fact.product for fact in every]
        activity = ItemActivity.of(
            products,
            features.item,
            session=np.array([hash64(fact.user) for fact in every], np.uint64),
            event_time_ms=features.event_time_ms,
            strength=STRENGTHS[features.action],
            category=features.category,
        )
        if len(activity):
            self.scorer.index.append(self.position, activity)
            self.position += 1

    def _values(self, every: list[Fact], made: PredictionBatch) -> Iterator[tuple[bytes, bytes]]:
        names = ("behavior", "text", "voice", "image")
        outputs = said(made.columns, self.scorer.heads)
        shares, now = made.modalities.round(4).tolist(), rfc3339(time.time_ns() // 1_000_000)
        cold = made.cold_start.tolist()
        model = dict(zip(("name", "version", "digest"), self.scorer.model, strict=True))
        for at, fact in enumerate(every):
            event = fact.event
            value = {
                "prediction_id": str(uuid5(NAMESPACE, f"{NAME}\0{event.source or ''}\0{event.event_id}\0{1}")),
                "event_id": event.event_id,
                "user_id": fact.user,
                "session_id": event.session_id or f"{fact.user}|{fact.began_ms}",
                "source": event.source,
                "event_time": rfc3339(fact.time_ms),
                "processed_at": now,
                "model": model,
                "outputs": {name: one[at] for name, one in outputs.items() if one[at] is not None},
                "modalities": {name: share for name, share in zip(names, shares[at], strict=True) if share},
                "tier": made.tier,
                "cold_start": cold[at],
                "revision": 1,
            }
            yield fact.user.encode(), ENCODE(value)


def said(columns: Mapping[str, Mapping[str, NDArray[Any]]], heads: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Per head the outputs of all events, as such a loop would make them: lists of dictionaries."""

    def plain(column: NDArray[Any]) -> list[Any]:
        return list((column.astype(np.float64).round(4) if column.dtype.kind == "f" else column).tolist())

    part = {name: {key: plain(column) for key, column in each.items()} for name, each in columns.items()}
    actions, segments = heads["next_action"].actions, heads["segment"].labels
    outputs: dict[str, list[Any]] = {
        name: [{"score": score} for score in part[name]["score"]] for name in ("purchase", "churn", "anomaly")
    }
    outputs["next_action"] = [
        {"label": actions[label], "scores": dict(zip(actions, scores, strict=True))}
        for label, scores in zip(part["next_action"]["label"], part["next_action"]["scores"], strict=True)
    ]
    outputs["segment"] = [
        {"id": number, "label": segments[number], "distance": distance}
        for number, distance in zip(part["segment"]["id"], part["segment"]["distance"], strict=True)
    ]
    feeling = part["sentiment"]
    outputs["sentiment"] = [
        {"label": FEELINGS[label], "score": score} if present else None
        for present, label, score in zip(feeling["present"], feeling["label"], feeling["score"], strict=True)
    ]
    ranked = part["recommendations"]
    outputs["recommendations"] = [
        [
            {"product_id": product, "score": score, "rank": rank}
            for rank, (product, score) in enumerate(zip(products, scores, strict=True), 1)
            if product is not None
        ]
        for products, scores in zip(ranked["product_id"], ranked["score"], strict=True)
    ]
    return outputs


def _hash(event: Any, name: str) -> int:
    value = getattr(event, name, None)
    return hash64(value) if value else 0


async def main() -> None:
    torch.set_num_threads(1)
    loop = Loop()
    consumer = aiokafka.AIOKafkaConsumer(
        *TOPICS,
        bootstrap_servers=BROKER,
        group_id=NAME,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=20,
    )
    producer = aiokafka.AIOKafkaProducer(
        bootstrap_servers=BROKER, compression_type="zstd", linger_ms=5, max_batch_size=1 << 17
    )
    await consumer.start()
    await producer.start()
    print("assigned", flush=True)
    committed_s = time.monotonic()
    while True:
        fetched = await consumer.getmany(timeout_ms=100, max_records=MOST_EVENTS)
        records = list(chain.from_iterable(fetched.values()))
        if records:
            for key, value in await asyncio.to_thread(loop.answer, records):
                await producer.send(OUTPUT, value, key=key)
        if time.monotonic() - committed_s > 1:
            await producer.flush()
            await consumer.commit()
            committed_s = time.monotonic()


if __name__ == "__main__":
    asyncio.run(main())
