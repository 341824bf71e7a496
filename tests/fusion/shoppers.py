"""Tiny invented feature batches for tests and benchmarks: no simulator, no stream."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from fusion.features import NO_ACTION, NO_TRACK, NUMERICS, FeatureBatch
from fusion.inputs import CARRIED
from fusion.recommender import ItemActivity, ItemIndex

ACTIONS = (
    "impression",
    "view",
    "click",
    "add_to_cart",
    "remove_from_cart",
    "wishlist",
    "purchase",
    "search",
    "review",
    "voice",
)
LENGTH = 32
TEXTS = ("love it, fits perfectly!", "质量很差，不推荐", "red shoes", "quedó pequeño", "لا بأس", "bad quality 😡", "")


def photo(seed: int = 0, kind: str = "JPEG") -> bytes:
    """A small noisy picture."""
    pixels = np.random.default_rng(seed).integers(0, 255, (60, 50, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def shoppers(
    events: int,
    *,
    seed: int = 0,
    users: int | None = None,
    history: int = LENGTH,
    words: float = 0.1,
    items: int = 10_000,
    hashes: Sequence[int] | None = None,
) -> FeatureBatch:
    """`events` events of `users` users (default: two thirds as many) with `history` events before them."""
    rng = np.random.default_rng(seed)
    users = min(users or max(1, events * 2 // 3), max(events, 1))
    row = np.sort(np.concatenate([np.arange(min(users, events)), rng.integers(0, users, max(0, events - users))]))
    item = np.asarray(hashes, np.uint64) if hashes is not None else rng.integers(1, 2**63, items).astype(np.uint64)
    said = rng.random(events) < words
    spoken = said & (rng.random(events) < 0.3)
    action = np.where(spoken, 9, np.where(said, rng.integers(7, 9, events), rng.integers(0, 7, events)))
    text = np.full(events, None, object)
    confident = np.full(events, None, object)
    for i in np.flatnonzero(said):
        text[i] = TEXTS[int(rng.integers(len(TEXTS)))]
        if spoken[i]:
            confident[i] = rng.random(len(text[i].split())).astype(np.float32)
    image = np.full(events, None, object)
    for i in np.flatnonzero(rng.random(events) < words / 5):
        image[i] = photo(i % 20) if i % 2 else rng.normal(size=512).astype(np.float32)
    ring = (np.arange(LENGTH) >= LENGTH - history)[None].repeat(users, 0)
    start = 1_700_000_000_000
    return FeatureBatch(
        row=row.astype(np.int64),
        event_time_ms=start + np.arange(events) * 1000,
        action=action.astype(np.uint8),
        item=np.where(action == 7, 0, rng.choice(item, events)).astype(np.uint64),
        category=rng.integers(1, 2**62, events).astype(np.uint64),
        brand=np.zeros(events, np.uint64),
        gap_s=np.where(history > 0, rng.exponential(60, events), -1).astype(np.float32),
        numerics=np.where(rng.random((events, len(NUMERICS))) < 0.5, np.nan, 1.0).astype(np.float32),
        track=np.where(spoken, 1, np.where(said, 0, NO_TRACK)).astype(np.uint8),
        text=text,
        confidence=np.where(spoken, 0.7, np.nan).astype(np.float32),
        word_confidence=confident,
        image=image,
        history_item=np.where(ring, rng.choice(item, ring.shape), 0).astype(np.uint64),
        history_action=np.where(ring, rng.integers(0, 7, ring.shape), NO_ACTION).astype(np.uint8),
        history_time_ms=np.where(ring, start - 1000 * np.arange(LENGTH, 0, -1), 0),
        carried=np.zeros(users, CARRIED),
    )


def filled(index: ItemIndex, items: int = 10_000, visits: int = 60_000) -> list[int]:
    """Fill the index with sessions over `items` items; their hashes."""
    rng = np.random.default_rng(1)
    hashes = rng.integers(1, 2**63, items).astype(np.uint64)
    session = np.arange(visits) // 6
    item = np.concatenate([np.arange(items), (rng.zipf(1.3, visits - items) * 7 + session[items:]) % items])
    activity = ItemActivity.of(
        np.array([f"item-{i}" for i in item], object),
        hashes[item],
        session=(session + 1).astype(np.uint64),
        event_time_ms=1_700_000_000_000 + np.arange(visits) * 100,
        strength=np.ones(visits, np.uint8),
    )
    index.append(1, activity)
    return hashes.tolist()
