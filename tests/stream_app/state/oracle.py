"""What the state must do, event by event with dicts and lists; slow, and nothing is ever freed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from stream_app.events import ACTIONS, PLATFORMS
from stream_app.state import ACCEPTED, DUPLICATE, FUTURE, LATE, PARTIAL, StateSettings
from tests.stream_app.state.streams import HISTORY, NOW_MS, Outcome, Shop

NEVER = -(1 << 62)


class Oracle:
    """One task without idle inputs."""

    def __init__(self, settings: StateSettings, inputs: int = 2) -> None:
        self.settings = settings
        self.largest = [NEVER] * inputs
        self.watermark = NEVER
        self.swept = NEVER
        self.accepted: dict[int, int] = {}  # identity → forgotten at
        self.windowed: dict[int, list[tuple[Shop, bool, bool]]] = defaultdict(list)
        self.tracks: dict[int, list[Shop]] = defaultdict(list)
        self.published: dict[tuple[int, str], list[dict[str, Any]]] = defaultdict(list)
        self.outcome = Outcome()

    def feed(self, event: Shop) -> None:
        """Judge, apply, close."""
        verdict = self.judge(event)
        self.outcome.verdicts.append(verdict)
        if verdict == ACCEPTED:
            self.accepted[event.identity] = self.forgotten_at(event)
            self.apply(event)
        if verdict not in (PARTIAL, FUTURE):
            self.largest[event.source] = max(self.largest[event.source], event.time)
            self.watermark = max(self.watermark, min(self.largest) - self.settings.bound_ms)
        self.close(self.watermark)

    def judge(self, event: Shop) -> int:
        if event.partial:
            return PARTIAL
        if event.time > NOW_MS + self.settings.future_ms:
            return FUTURE
        if self.accepted.get(event.identity, NEVER) > self.watermark:
            return DUPLICATE
        return LATE if self.forgotten_at(event) <= self.watermark else ACCEPTED

    def forgotten_at(self, event: Shop) -> int:
        size = self.settings.tumbling_ms
        return event.time // size * size + size + self.settings.grace_ms

    def apply(self, event: Shop) -> None:
        track = self.tracks[event.user]
        latest = max((e.time for e in track), default=None)
        self.outcome.events.append(
            {
                "gap_s": -1.0 if latest is None else round(max(0, event.time - latest) / 1000, 3),
                "history": [(e.item, ACTIONS.index(e.action), e.time) for e in track[-HISTORY:]],
                "carried": len(track),
            }
        )
        self.windowed[event.user].append((event, self.reformulates(event, track), self.rages(event, track)))
        track.append(event)

    @staticmethod
    def reformulates(event: Shop, track: Sequence[Shop]) -> bool:
        if event.action != "search" or not event.query:
            return False
        for earlier in reversed(track):
            if earlier.action == "click":
                return False
            if earlier.action == "search":
                near = abs(event.time - earlier.time) <= 120_000
                return near and earlier.query not in (0, event.query)
        return False

    @staticmethod
    def rages(event: Shop, track: Sequence[Shop]) -> bool:
        if event.action != "click" or not event.item:
            return False
        run, last = 1, event
        for earlier in reversed([e for e in track if e.action == "click"]):
            if earlier.item != last.item or abs(last.time - earlier.time) > 2_000:
                break
            run, last = run + 1, earlier
        return run >= 3

    def close(self, watermark: int) -> None:
        for user, entries in self.windowed.items():
            for kind, groups in (("session", self.sessions(entries)), ("tumbling", self.tumbling(entries))):
                for group in groups:
                    self.publish(user, kind, group, watermark)
        sweep = max(self.settings.tumbling_ms, self.settings.user_ttl_ms // 30)
        if (day := watermark // sweep * sweep) > self.swept:
            self.swept = day
            for user, track in list(self.tracks.items()):
                if max(e.time for e in track) <= day - self.settings.user_ttl_ms:
                    del self.tracks[user]

    def sessions(self, entries: Sequence[Any]) -> list[list[Any]]:
        groups: list[list[Any]] = []
        for entry in sorted(entries, key=lambda e: e[0].time):
            if groups and entry[0].time - groups[-1][-1][0].time < self.settings.session_gap_ms:
                groups[-1].append(entry)
            else:
                groups.append([entry])
        return groups

    def tumbling(self, entries: Sequence[Any]) -> list[list[Any]]:
        groups = defaultdict(list)
        for entry in entries:
            groups[entry[0].time // self.settings.tumbling_ms].append(entry)
        return list(groups.values())

    def publish(self, user: int, kind: str, group: list[Any], watermark: int) -> None:
        settings = self.settings
        times = [event.time for event, *_ in group]
        start = min(times) if kind == "session" else times[0] // settings.tumbling_ms * settings.tumbling_ms
        end = max(times) + settings.session_gap_ms if kind == "session" else start + settings.tumbling_ms
        if end > watermark:
            return
        content = frozenset(id(event) for event, *_ in group)
        former = [final for final in self.published[user, kind] if final["content"] <= content]
        if any(final["content"] == content for final in former):
            return
        revision = max((final["revision"] for final in former), default=0) + 1
        replaced = [f for f in former if f["current"] and (f["start"], f["end"]) != (start, end)]
        for final in former:
            final["current"] = False
        self.published[user, kind].append(
            {"content": content, "start": start, "end": end, "revision": revision, "current": True}
        )
        ordered = [event for event, *_ in self.windowed[user] if id(event) in content]
        moods = [e.sentiment for e in ordered if e.sentiment is not None]
        searches = [e for e in ordered if e.action == "search" and e.results >= 0]
        self.outcome.finals.append(
            {
                "user": f"user-{user}",
                "kind": kind,
                "start": start,
                "end": end,
                "first": min(times),
                "last": max(times),
                "revision": revision,
                "supersedes": sorted((f["start"], f["end"], f["revision"]) for f in replaced),
                "counts": {a: n for a in ACTIONS if (n := sum(e.action == a for e in ordered))},
                "dwell": sum(e.dwell for e in ordered),
                "known": len(searches),
                "zero": sum(e.results == 0 for e in searches),
                "reformulations": sum(reformulates for _, reformulates, _ in group),
                "rage": sum(rages for *_, rages in group),
                "revenue": revenue(ordered),
                "products": len({e.item for e in ordered if e.item}),
                "platforms": [name for at, name in enumerate(PLATFORMS) if at in {e.platform for e in ordered}],
                "sentiment": (sum(round(mood * 10) for mood in moods) / 10, len(moods)),
                "purchase": round(ordered[-1].identity % 100 / 100, 2),
                "segment": ordered[-1].identity % 5,
            }
        )


def revenue(events: Sequence[Shop]) -> dict[str, float]:
    """Whole ten-thousandths per currency; the fifth and later codes, by their value, are XXX."""
    amounts: dict[int, int] = defaultdict(int)
    for e in events:
        if e.action == "purchase" and e.price == e.price:
            code = int.from_bytes((e.currency or "XXX").encode(), "little")
            amounts[code] += round(e.price * 10_000) * e.quantity
    none = int.from_bytes(b"XXX", "little")
    named = sorted(code for code in amounts if code != none)
    shown = {code.to_bytes(3, "little").decode(): amounts[code] / 10_000 for code in named[:4]}
    if rest := sum(amounts[code] for code in (*named[4:], none) if code in amounts):
        shown["XXX"] = rest / 10_000
    return shown


def expected(events: Sequence[Shop], settings: StateSettings, inputs: int = 2) -> Outcome:
    """The outcome of a whole stream."""
    oracle = Oracle(settings, inputs)
    for event in events:
        oracle.feed(event)
    oracle.close(1 << 50)
    oracle.outcome.finals.sort(key=repr)
    return oracle.outcome
