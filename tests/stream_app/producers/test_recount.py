"""The recount of windows against hand-made cases and against planted faults."""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stream_app.producers.recount import WindowCount, WindowKey, compare_windows, recount

MINUTE_MS = 60_000


@dataclass(frozen=True)
class Windows:
    session_gap_ms: int = 30 * MINUTE_MS
    tumbling_ms: int = 5 * MINUTE_MS


def click(time_ms: int, action: str = "view", user: str = "u", **fields: Any) -> tuple[str, dict[str, Any]]:
    return "clicks", {"event_time": time_ms, "user_id": user, "action": action, "product_id": "p1", **fields}


def iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def final(key: WindowKey, count: WindowCount, *, revision: int = 1, supersedes: Any = ()) -> dict[str, Any]:
    """The record that a right pipeline publishes."""
    return {
        "user_id": key.user,
        "window": {"type": key.kind, "start": iso(key.start_ms), "end": iso(key.end_ms), "is_final": True},
        "revision": revision,
        "supersedes": list(supersedes),
        "counts": dict(count.counts),
        **{name: fact for name, fact in count.facts().items() if name not in count.counts},
    }


EVENTS = [
    click(0, dwell_ms=1_500),
    click(4 * MINUTE_MS, "purchase", price=10.5, quantity=2, currency="eur", platform="ios"),
    ("searches", {"event_time": "1970-01-01T00:05:00Z", "user_id": "u", "query": "x", "total_results": 0}),
    click(35 * MINUTE_MS),  # 30 minutes after the search: a new session
    click(6 * MINUTE_MS, user="v"),
]


def test_sessions_and_tumbling_windows_are_half_open() -> None:
    windows = recount(EVENTS, Windows())
    assert set(windows) == {
        WindowKey("u", "session", 0, 35 * MINUTE_MS),
        WindowKey("u", "session", 35 * MINUTE_MS, 65 * MINUTE_MS),
        WindowKey("u", "tumbling", 0, 5 * MINUTE_MS),
        WindowKey("u", "tumbling", 5 * MINUTE_MS, 10 * MINUTE_MS),
        WindowKey("u", "tumbling", 35 * MINUTE_MS, 40 * MINUTE_MS),
        WindowKey("v", "session", 6 * MINUTE_MS, 36 * MINUTE_MS),
        WindowKey("v", "tumbling", 5 * MINUTE_MS, 10 * MINUTE_MS),
    }
    facts = windows[WindowKey("u", "session", 0, 35 * MINUTE_MS)].facts()
    assert facts == {
        "purchase": 1, "search": 1, "view": 1, "searches": 1, "reviews": 0, "voice_segments": 0, "add_to_cart": 0,
        "purchases": 1, "dwell_ms": 1_500, "unique_products": 1, "revenue": {"EUR": 21.0},
        "platforms": ["ios", "other"], "zero_result_rate": 1.0,
    }  # fmt: skip


def test_clock_skew_is_removed() -> None:
    skewed = click(1_000, sent_at=2_000, received_at=9_000)
    assert WindowKey("u", "session", 8_000, 8_000 + 30 * MINUTE_MS) in recount([skewed], Windows())


@given(st.lists(st.tuples(st.integers(0, 200), st.sampled_from(["u", "v"])), max_size=30), st.randoms())
def test_order_does_not_matter_and_every_event_is_in_two_windows(events: list[tuple[int, str]], rng: Any) -> None:
    records = [click(minute * MINUTE_MS, user=user) for minute, user in events]
    windows = recount(records, Windows())
    for kind in ("session", "tumbling"):
        assert sum(c.counts.total() for k, c in windows.items() if k.kind == kind) == len(records)
    for user in ("u", "v"):
        sessions = sorted(k for k in windows if k.user == user and k.kind == "session")
        assert all(a.end_ms <= b.start_ms for a, b in pairwise(sessions))
    rng.shuffle(records)
    assert recount(records, Windows()) == windows


def test_right_finals_show_no_difference() -> None:
    counted = recount(EVENTS, Windows())
    finals = [final(key, count) for key, count in counted.items()]
    assert compare_windows(finals, counted) == []
    update = finals[0] | {"revision": 0, "window": finals[0]["window"] | {"is_final": False}}
    assert compare_windows([update, *finals], counted) == []


def test_an_off_by_one_a_gap_and_a_repeat_are_found() -> None:
    counted = recount(EVENTS, Windows())
    finals = [final(key, count) for key, count in counted.items()]
    off = finals[0] | {"counts": finals[0]["counts"] | {"view": 2}}
    assert any("view is 2, recounted 1" in d for d in compare_windows([off, *finals[1:]], counted))
    shifted = finals[0] | {"dwell_ms": finals[0]["dwell_ms"] + 1}
    assert any("dwell_ms" in d for d in compare_windows([shifted, *finals[1:]], counted))
    assert len(compare_windows(finals[1:], counted)) == 1
    assert len(compare_windows([*finals, finals[0]], counted)) == 1
    strange = final(WindowKey("w", "session", 0, 1), WindowCount())
    assert len(compare_windows([*finals, strange], counted)) == 1


def test_the_last_revision_counts_and_superseded_finals_do_not() -> None:
    counted = recount(EVENTS, Windows())
    finals = [final(key, count) for key, count in counted.items()]
    outdated = finals[0] | {"counts": {}}
    finals[0] = finals[0] | {"revision": 2}
    old = WindowKey("u", "session", 1, 31 * MINUTE_MS)
    finals[1] = finals[1] | {"supersedes": [{"start": iso(old.start_ms), "end": iso(old.end_ms), "revision": 1}]}
    assert compare_windows([outdated, final(old, WindowCount()), *finals], counted) == []


def test_windows_that_are_still_open_need_no_final() -> None:
    counted = recount(EVENTS, Windows())
    closed = [final(key, count) for key, count in counted.items() if key.end_ms <= 36 * MINUTE_MS]
    assert compare_windows(closed, counted, until_ms=36 * MINUTE_MS) == []
    assert len(compare_windows(closed, counted, until_ms=40 * MINUTE_MS)) == 1
