"""Windows counted again by brute force from accepted records, to compare with the final engagement records."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import Any, NamedTuple, Protocol

from stream_app.producers.account import user_of
from stream_app.producers.publish import event_time_ms

UNIQUE_PRODUCTS_EXACT = 64
"""Above this the pipeline may estimate."""
_SPOKEN = {"searches": "search", "reviews": "review", "voice-transcripts": "voice"}
_PLATFORMS = frozenset(("web", "ios", "android", "mini_program", "store", "call_center"))


class WindowSettings(Protocol):
    """What the windows depend on, milliseconds."""

    @property
    def session_gap_ms(self) -> int: ...
    @property
    def tumbling_ms(self) -> int: ...


class WindowKey(NamedTuple):
    """A user's window [start, end)."""

    user: str
    kind: str  # session or tumbling
    start_ms: int
    end_ms: int


class Happening(NamedTuple):
    """What of an event counts."""

    time_ms: int
    action: str
    product: str | None
    dwell_ms: int
    currency: str
    revenue: float  # of a purchase
    platform: str
    total_results: int | None


@dataclass(slots=True)
class WindowCount:
    """What happened in a window."""

    counts: Counter[str] = field(default_factory=Counter)
    dwell_ms: int = 0
    products: set[str] = field(default_factory=set)
    revenue: Counter[str] = field(default_factory=Counter)
    platforms: set[str] = field(default_factory=set)
    searches_known: int = 0
    searches_empty: int = 0

    def add(self, event: Happening) -> None:
        self.counts[event.action] += 1
        self.dwell_ms += event.dwell_ms
        if event.product is not None:
            self.products.add(event.product)
        if event.revenue:
            self.revenue[event.currency] += event.revenue  # type: ignore[assignment]
        self.platforms.add(event.platform)
        if event.total_results is not None:
            self.searches_known += 1
            self.searches_empty += event.total_results == 0

    def facts(self) -> dict[str, Any]:
        """Under the names of an engagement record."""
        return {
            **{name: self.counts[name] for name in sorted(self.counts)},
            "searches": self.counts["search"],
            "reviews": self.counts["review"],
            "voice_segments": self.counts["voice"],
            "add_to_cart": self.counts["add_to_cart"],
            "purchases": self.counts["purchase"],
            "dwell_ms": self.dwell_ms,
            "unique_products": len(self.products),
            "revenue": {code: round(amount, 2) for code, amount in sorted(self.revenue.items())},
            "platforms": sorted(self.platforms),
            "zero_result_rate": round(self.searches_empty / self.searches_known, 4) if self.searches_known else None,
        }


def recount(records: Iterable[tuple[str, Mapping[str, Any]]], settings: WindowSettings) -> dict[WindowKey, WindowCount]:
    """All windows of (event type, accepted record) pairs in any order; see `account.accepted`."""
    happened: dict[str, list[Happening]] = defaultdict(list)
    for event_type, record in records:
        user = user_of(dict(record))
        if user is not None:
            happened[user].append(_happening(event_type, record))
    windows: dict[WindowKey, WindowCount] = defaultdict(WindowCount)
    for user, events in happened.items():
        events.sort(key=lambda event: event.time_ms)
        for session in _sessions(events, settings.session_gap_ms):
            key = WindowKey(user, "session", session[0].time_ms, session[-1].time_ms + settings.session_gap_ms)
            for event in session:
                windows[key].add(event)
        for event in events:
            start_ms = event.time_ms // settings.tumbling_ms * settings.tumbling_ms
            windows[WindowKey(user, "tumbling", start_ms, start_ms + settings.tumbling_ms)].add(event)
    return dict(windows)


def compare_windows(
    finals: Iterable[Mapping[str, Any]], counted: Mapping[WindowKey, WindowCount], *, until_ms: int | None = None
) -> list[str]:
    """Differences between engagement records and the recount; records that are not final are skipped.

    With `until_ms`, windows that end later need not have been closed yet.
    """
    differences: list[str] = []
    last: dict[WindowKey, Mapping[str, Any]] = {}
    superseded: set[WindowKey] = set()
    seen: set[tuple[WindowKey, int]] = set()
    for final in finals:
        if not final["window"]["is_final"]:
            continue
        key = _key(final["user_id"], final["window"]["type"], final["window"])
        if (key, final["revision"]) in seen:
            differences.append(f"{key}: revision {final['revision']} twice")
        seen.add((key, final["revision"]))
        superseded.update(_key(key.user, key.kind, old) for old in final.get("supersedes") or ())
        if key not in last or last[key]["revision"] < final["revision"]:
            last[key] = final
    for key in superseded:
        last.pop(key, None)
    for key, final in last.items():
        differences += _differences(key, final, counted[key]) if key in counted else [f"{key}: nothing happened in it"]
    late = (key for key in counted if key not in last and (until_ms is None or key.end_ms <= until_ms))
    return differences + [f"{key}: no final record" for key in late]


def _differences(key: WindowKey, final: Mapping[str, Any], count: WindowCount) -> Iterator[str]:
    facts = count.facts()
    if len(count.products) > UNIQUE_PRODUCTS_EXACT:
        del facts["unique_products"]
    published = {**final["counts"], **final}
    published["platforms"] = sorted(final["platforms"])
    published["revenue"] = {code: round(amount, 2) for code, amount in sorted(final["revenue"].items())}
    for name in [*(a for a, n in final["counts"].items() if n and a not in facts), *facts]:
        if published.get(name, 0) != facts.get(name, 0):
            yield f"{key}: {name} is {published.get(name)}, recounted {facts.get(name, 0)}"


def _key(user: str, kind: str, frame: Mapping[str, Any]) -> WindowKey:
    return WindowKey(user, kind, event_time_ms(frame["start"]), event_time_ms(frame["end"]))


def _sessions(events: list[Happening], gap_ms: int) -> Iterator[list[Happening]]:
    """Runs of events in time order, each less than the gap after the one before."""
    session = events[:1]
    for event in events[1:]:
        if event.time_ms >= session[-1].time_ms + gap_ms:
            yield session
            session = []
        session.append(event)
    yield session


def _happening(event_type: str, record: Mapping[str, Any]) -> Happening:
    time_ms = event_time_ms(record["event_time"])
    if record.get("sent_at") is not None and record.get("received_at") is not None:
        time_ms += event_time_ms(record["received_at"]) - event_time_ms(record["sent_at"])
    action = _SPOKEN.get(event_type) or record["action"]
    quantity = record.get("quantity")
    sold = (record.get("price") or 0) * (1 if quantity is None else quantity) if action == "purchase" else 0
    product = record.get("product_id")
    platform = record.get("platform")
    return Happening(
        time_ms=time_ms,
        action=intern(action),
        product=intern(product) if isinstance(product, str) else None,
        dwell_ms=int(record.get("dwell_ms") or 0) if event_type == "clicks" else 0,
        currency=intern((record.get("currency") or "XXX").upper()),
        revenue=sold,
        platform=platform if platform in _PLATFORMS else "other",
        total_results=record.get("total_results") if event_type == "searches" else None,
    )
