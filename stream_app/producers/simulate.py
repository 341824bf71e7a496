"""A deterministic stream of invented shopping, in arrival order.

What is true of it and not observable goes to GroundTruth, never into a record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random
from typing import Any

from stream_app.producers.catalogue import Catalogue
from stream_app.producers.shopper import HOUR_MS, Bot, Shopper, World

Stream = Iterator[tuple[str, dict[str, Any]]]

DUPLICATE_WITHIN_MS = 30_000
EVENT_EVERY_MS = 9_000
"""More than the mean gap between events of 500 shoppers."""
MONTH_MS = 30 * 86_400_000


@dataclass
class GroundTruth:
    """What the records do not say; filled while the simulation runs."""

    bots: set[str] = field(default_factory=set)
    personas: dict[str, str] = field(default_factory=dict)
    intentions: dict[str, bool] = field(default_factory=dict)  # session id → begun in order to buy


def past_start_ms(now_ms: int, events: int | None) -> int:
    """A start so long ago that a stream sent faster than it happened ends before now, not in the future."""
    return now_ms - max(MONTH_MS, (events or 0) * EVENT_EVERY_MS)


def simulate(
    *,
    users: int,
    seed: int,
    start_ms: int,
    events: int | None = None,
    bots: float = 0.02,
    disorder: float = 0.05,
    disorder_ms: int = 5_000,
    duplicates: float = 0.005,
    images: bool = True,
    voice_error_rate: float = 0.12,
    activity: float = 1.0,
    products: int = 3_000,
    truth: GroundTruth | None = None,
) -> Stream:
    """(event type, record) in arrival order; without `events` it never ends.

    `disorder` of the records arrive up to `disorder_ms` late, `duplicates` of them twice within 30 s.
    """
    rng = Random(f"{seed} arrival")
    world = World(
        Catalogue(size=products, seed=seed), f"{seed:x}.{start_ms // 1000:x}.", images, voice_error_rate, activity
    )
    shoppers = [(Bot if rng.random() < bots else Shopper)(world, number, seed) for number in range(users)]
    truth = truth if truth is not None else GroundTruth()
    for shopper in shoppers:
        truth.personas[shopper.user_id] = "bot" if shopper.bot else shopper.persona.name
    truth.bots.update(shopper.user_id for shopper in shoppers if shopper.bot)
    arrivals: list[tuple[int, int, str, dict[str, Any]]] = []  # heap by arrival time in ms, then number
    count = 0
    for until_ms, shopper in _visits(shoppers, start_ms):
        while arrivals and arrivals[0][0] < until_ms:
            _, _, event_type, record = heappop(arrivals)
            yield event_type, record
            if events is not None and (events := events - 1) <= 0:
                return
        intent = shopper.rng.random() < shopper.persona.intent and not shopper.bot
        for at_ms, event_type, record in shopper.begin(until_ms, intent=intent):
            late_ms = int(rng.random() * disorder_ms) if rng.random() < disorder else 0
            heappush(arrivals, (at_ms + late_ms, count, event_type, record))
            count += 1
            if rng.random() < duplicates:
                again_ms = at_ms + late_ms + int(rng.random() * DUPLICATE_WITHIN_MS)
                heappush(arrivals, (again_ms, count, event_type, record))
                count += 1
        truth.intentions[shopper.session_id] = intent


def _visits(shoppers: list[Shopper], start_ms: int) -> Iterator[tuple[int, Shopper]]:
    """(start of a session in ms, who), in time order, forever."""
    visits: list[tuple[int, int]] = []
    for number, shopper in enumerate(shoppers):
        mean_ms = 24 * HOUR_MS / shopper.persona.sessions_per_day / shopper.world.activity
        heappush(visits, (start_ms + int(shopper.rng.random() * mean_ms), number))
    while visits:
        at_ms, number = heappop(visits)
        shopper = shoppers[number]
        yield at_ms, shopper
        heappush(visits, (max(shopper.at_ms, at_ms) + shopper.rest_ms(), number))
