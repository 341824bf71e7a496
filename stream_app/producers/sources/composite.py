"""A stream of all four types made of real parts. Right for throughput and windows; no accuracy may be claimed from it.

Times, gaps, ids and products are those of two click logs; texts, transcripts and photos of other sets are put into
the same users' sessions by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappop, heappush, merge
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any

from stream_app.producers.sources.chinese_reviews import chinese_reviews
from stream_app.producers.sources.fashion_products import fashion_products
from stream_app.producers.sources.rees46 import rees46
from stream_app.producers.sources.slurp import slurp
from stream_app.producers.sources.taskmaster4 import taskmaster4
from stream_app.producers.sources.wands_queries import wands_queries
from stream_app.producers.sources.womens_reviews import womens_reviews
from stream_app.producers.sources.yoochoose_clicks import yoochoose_clicks

Stream = Iterator[tuple[str, dict[str, Any]]]
Record = dict[str, Any]

_SHARES = (("searches", 0.08), ("reviews", 0.06), ("voice-transcripts", 0.05))  # inserted per click
_REVIEW_PHOTOS, _SEARCH_PHOTOS, _CHINESE = 0.3, 0.15, 0.4
_WITHIN_MS = 60_000  # of the click that an inserted event follows: well inside its session
_ENVELOPE = ("event_id", "event_time", "user_id", "anonymous_id", "source", "session_id", "platform", "properties")


def composite(data_dir: Path, *, seed: int = 0) -> Stream:
    """About 104,000 events in event-time order; rees46 opens on the same day as the shifted yoochoose week."""
    rng = Random(f"{seed} composite")
    draw = _pools(data_dir, seed, rng)
    waiting: list[tuple[int, int, str, Record]] = []  # heap of inserted events
    for number, click in enumerate(backbone(data_dir)):
        at_ms = click["event_time"]
        while waiting and waiting[0][0] <= at_ms:
            _, _, event_type, record = heappop(waiting)
            yield event_type, record
        for event_type, share in _SHARES:
            if rng.random() < share:
                extra = _attach(
                    click, draw(event_type, click), f"{number}-{event_type}", at_ms + rng.randrange(_WITHIN_MS)
                )
                heappush(waiting, (extra["event_time"], number, event_type, extra))
        yield "clicks", click
    while waiting:
        _, _, event_type, record = heappop(waiting)
        yield event_type, record


def backbone(data_dir: Path) -> Iterator[Record]:
    """Both click logs merged, the older moved by whole days so that both begin on one day."""
    first, second = list(rees46(data_dir)), list(yoochoose_clicks(data_dir))
    day_ms = 86_400_000
    moved_ms = (first[0][1]["event_time"] // day_ms - second[0][1]["event_time"] // day_ms) * day_ms
    moved = (record | {"event_time": record["event_time"] + moved_ms} for _, record in second)
    return merge((record for _, record in first), moved, key=lambda record: record["event_time"])


def _pools(data_dir: Path, seed: int, rng: Random) -> Callable[[str, Record], Record]:
    """What draws the content of an inserted event for the user of a click; a user writes in one language."""

    def endless(*streams: Stream) -> Iterator[Record]:
        records = [record for stream in streams for _, record in stream]
        rng.shuffle(records)
        return cycle(records)

    said = endless(slurp(data_dir, seed=seed), taskmaster4(data_dir, seed=seed))
    typed = endless(wands_queries(data_dir, seed=seed))
    pictured = endless(fashion_products(data_dir, seed=seed))
    english, chinese = endless(womens_reviews(data_dir, seed=seed)), endless(chinese_reviews(data_dir, seed=seed))

    def draw(event_type: str, click: Record) -> Record:
        if event_type == "voice-transcripts":
            return next(said)
        if event_type == "searches":
            return next(pictured if rng.random() < _SEARCH_PHOTOS else typed)
        writes_chinese = Random(f"{seed} {_user(click)}").random() < _CHINESE
        review = {**next(chinese if writes_chinese else english), "product_id": click["product_id"]}
        if rng.random() < _REVIEW_PHOTOS and (photo := next(pictured).get("image")):
            review["images"] = [photo]
        return review

    return draw


def _attach(click: Record, content: Record, name: str, at_ms: int) -> Record:
    """The content under the click's user and session, at its own time."""
    record = {field: value for field, value in content.items() if field not in _ENVELOPE}
    same: Record = {
        field: click[field] for field in ("user_id", "anonymous_id", "session_id", "platform") if field in click
    }
    made_of = {"composite": [click["source"], content["source"]]}
    if "call_id" in record:
        record |= {"call_id": name, "segment_id": "1"}
    return {"event_id": name, "event_time": at_ms, "source": "composite", **same, **record, "properties": made_of}


def _user(click: Record) -> str:
    user: str = click.get("user_id") or click["anonymous_id"]
    return user
