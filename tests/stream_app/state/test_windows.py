"""Windows at their edges: sketches, currencies, ticks, rules with a limit in time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stream_app.errors import SettingsError, StateError
from stream_app.state import ACCEPTED, StateSettings, TaskState, WindowBatch
from stream_app.state.task_state import MOST_FINALS
from stream_app.state.windows import SKETCH
from tests.stream_app.state.streams import CARRIED, HISTORY, NOW_MS, SMALL, Outcome, Shop, apply, batch, new_state, run

WIDE = StateSettings()


def fed(*events: Shop, settings: StateSettings = WIDE, inputs: int = 1) -> TaskState:
    """A state after these events, all accepted."""
    state = new_state(settings, inputs=inputs)
    assert set(state.admit(batch(events), NOW_MS).verdict.tolist()) == {ACCEPTED}
    apply(state, events, Outcome())
    return state


def session(state: TaskState) -> WindowBatch:
    """The one session, as an update."""
    windows = state.open_windows()
    assert not windows.is_final
    assert not windows.revision.any()
    at = np.flatnonzero(windows.rows["kind"] == 0)
    return WindowBatch(windows.rows[at], [windows.users[one] for one in at.tolist()], False, windows.revision[at])


@pytest.mark.parametrize("distinct", [1, SKETCH - 1, SKETCH])
def test_unique_products_are_exact_up_to_the_sketch(distinct: int) -> None:
    hashes = np.random.default_rng(1).integers(1, 1 << 63, distinct).tolist()
    events = [Shop(user=1, time=at, identity=at + 1, item=one) for at, one in enumerate([*hashes, *hashes])]
    assert session(fed(*events)).unique_products().tolist() == [distinct]


@pytest.mark.parametrize("limit", [1, 100, 5_000])
def test_unique_products_beyond_the_sketch_are_estimated_alike_for_any_limit(limit: int) -> None:
    hashes = np.random.default_rng(2).integers(1, 1 << 64, 2_000, np.uint64, endpoint=False).tolist()
    events = [Shop(user=1, time=at // 100, identity=at + 1, item=one) for at, one in enumerate([*hashes, *hashes[::2]])]
    state = new_state(WIDE, inputs=1)
    for first in range(0, len(events), limit):
        piece = events[first : first + limit]
        state.admit(batch(piece), NOW_MS)
        state.update(batch(piece))
    kth = sorted(hashes)[SKETCH - 1] / 2**64
    assert session(state).unique_products().tolist() == [round((SKETCH - 1) / kth)]


def test_merged_sketches_equal_the_sketch_of_all() -> None:
    hashes = np.random.default_rng(3).integers(1, 1 << 64, 150, np.uint64, endpoint=False).tolist()
    times = [0] * 75 + [150] * 75
    apart = [
        Shop(user=1, time=time, identity=at, item=one) for at, (time, one) in enumerate(zip(times, hashes, strict=True))
    ]
    bridge = Shop(user=1, time=75, identity=999, item=hashes[0])
    together = fed(*apart, bridge, settings=SMALL)
    assert (
        session(together).unique_products().tolist()
        == session(fed(bridge, *apart, settings=SMALL)).unique_products().tolist()
    )


@pytest.mark.parametrize(
    "codes", [["USD", "EUR", "CHF", "GBP", "JPY", "", "XXX"], ["XXX", "JPY", "", "GBP", "CHF", "USD", "EUR"]]
)
def test_a_fifth_currency_and_amounts_without_one_are_pooled_whatever_the_order(codes: list[str]) -> None:
    bought = {"action": "purchase", "price": 1.5, "quantity": 2}
    events = [Shop(user=1, time=at, identity=at + 1, currency=code, **bought) for at, code in enumerate(codes)]
    revenue = session(fed(*events)).revenue(0)
    kept = sorted(("USD", "EUR", "CHF", "GBP", "JPY"), key=lambda code: code[::-1])[:4]  # codes are little endian
    assert revenue == {**dict.fromkeys(kept, 3.0), "XXX": 9.0}


def test_the_third_click_on_an_item_within_two_seconds_each_is_rage() -> None:
    times = [0, 2_000, 4_000, 6_001, 6_002, 6_003]
    events = [Shop(user=1, time=time, identity=at + 1) for at, time in enumerate(times)]
    assert session(fed(*events)).rows["rage_clicks"].tolist() == [2]


def test_a_view_does_not_break_a_run_of_clicks_and_another_item_does() -> None:
    clicks = [Shop(1, 0, 1), Shop(1, 1, 2), Shop(1, 2, 3, action="view", item=9), Shop(1, 3, 4), Shop(1, 4, 5, item=2)]
    assert session(fed(*clicks, Shop(1, 5, 6))).rows["rage_clicks"].tolist() == [1]


@pytest.mark.parametrize(("gap_ms", "expected"), [(120_000, 1), (120_001, 0)])
def test_another_query_within_two_minutes_is_a_reformulation(gap_ms: int, expected: int) -> None:
    searches = [Shop(1, at * gap_ms, at + 1, action="search", item=0, query=at + 1) for at in range(2)]
    assert session(fed(*searches)).rows["reformulations"].tolist() == [expected]


def test_rates_are_nan_without_a_base_and_shares_with_one() -> None:
    empty = session(fed(Shop(1, 0, 1)))
    assert np.isnan([empty.ctr()[0], empty.zero_result_rate()[0], empty.sentiment_mean()[0]]).all()
    search = {"action": "search", "item": 0}
    events = [
        Shop(1, 0, 1),
        Shop(1, 1, 2, action="impression"),
        Shop(1, 2, 3, action="impression"),
        Shop(1, 3, 4, results=0, **search),
        Shop(1, 4, 5, results=3, **search),
        Shop(1, 5, 6, **search),
    ]
    full = session(fed(*events))
    assert (full.ctr()[0], full.zero_result_rate()[0]) == (0.5, 0.5)


def test_the_idle_clock_closes_silent_sessions_once_and_never_makes_an_event_late() -> None:
    state = fed(Shop(1, 0, 1), settings=SMALL)
    assert len(state.tick(NOW_MS + 9_999)) == 0
    finals = state.tick(NOW_MS + 10_000)
    assert sorted(finals.rows["kind"].tolist()) == [0, 1]
    assert len(state.tick(NOW_MS + 20_000)) == 0
    admission = state.admit(batch([Shop(1, 10, 2)]), NOW_MS + 20_000)
    assert admission.verdict.tolist() == [ACCEPTED]
    apply(state, [Shop(1, 10, 2)], Outcome())
    state.tick(NOW_MS + 20_000)
    again = state.tick(NOW_MS + 40_000)
    assert again.revision.tolist() == [2, 2]
    assert {at: [tuple(f) for f in finals] for at, finals in again.supersedes.items()} == {
        int(np.flatnonzero(again.rows["kind"] == 0)[0]): [(0, 100, 1)]
    }


def test_many_silent_sessions_close_in_parts_by_their_end_each_once() -> None:
    users = MOST_FINALS + 10
    state = fed(*(Shop(user, user % 7, user + 1) for user in range(users)), settings=SMALL)
    parts = [state.tick(NOW_MS + 60_000) for _ in range(4)]
    assert [len(part) for part in parts] == [MOST_FINALS, MOST_FINALS, 20, 0]
    ends = np.concatenate([part.rows["end_ms"] for part in parts])
    assert (np.diff(ends) >= 0).all()
    told = {(user, kind) for part in parts for user, kind in zip(part.users, part.rows["kind"].tolist(), strict=True)}
    assert len(told) == 2 * users


def test_an_idle_input_stops_holding_the_watermark_and_comes_back() -> None:
    state = new_state(SMALL, inputs=2)
    state.admit(batch([Shop(1, 100, 1, source=0)]), NOW_MS)
    assert state.watermark_ms is None
    state.admit(batch([Shop(1, 200, 2, source=0)]), NOW_MS + 10_000)
    assert state.watermark_ms == 195
    state.admit(batch([Shop(1, 197, 3, source=1), Shop(1, 300, 4, source=0)]), NOW_MS + 10_001)
    assert state.watermark_ms == 195


def test_after_a_restart_every_input_gets_its_time_to_catch_up() -> None:
    state = new_state(SMALL, inputs=2)
    state.admit(batch([Shop(1, 100, 1, source=0), Shop(1, 100, 2, source=1)]), NOW_MS)
    fresh = new_state(SMALL, inputs=2)
    fresh.restore(state.changes(), now_ms=NOW_MS + 3_600_000)
    fresh.admit(batch([Shop(1, 5_000, 3, source=0)]), NOW_MS + 3_600_000)
    assert fresh.watermark_ms == 95


def test_a_new_layout_of_the_scorers_part_keeps_the_rest() -> None:
    state = fed(Shop(1, 0, 1), Shop(1, 5, 2))
    log = state.changes()
    other = TaskState(WIDE, carried=np.dtype([("other", "f8", (3,))]), history=HISTORY, inputs=1)
    other.restore(log)
    assert other.user("user-1") == state.user("user-1")
    event = batch([Shop(1, 6, 3)])
    features, _ = other.features(event, other.update(event))
    assert not features.carried["other"].any()
    assert features.gap_s.tolist() == [np.float32(0.001)]


@pytest.mark.parametrize(
    ("settings", "history", "inputs"),
    [(WIDE, HISTORY + 1, 1), (StateSettings(tumbling_ms=60_000), HISTORY, 1), (WIDE, HISTORY, 2)],
)
def test_any_other_difference_is_refused(settings: StateSettings, history: int, inputs: int) -> None:
    log = fed(Shop(1, 0, 1)).changes()
    with pytest.raises((StateError, SettingsError)):
        TaskState(settings, carried=CARRIED, history=history, inputs=inputs).restore(log)


def test_a_record_cut_short_is_a_state_error() -> None:
    log = [(key, value and value[:7] if key == b"user-1" else value) for key, value in fed(Shop(1, 0, 1)).changes()]
    with pytest.raises(StateError):
        new_state(WIDE, inputs=1).restore(log)


def test_changes_hold_each_touched_user_once_and_nothing_without_news() -> None:
    state = fed(Shop(1, 0, 1), Shop(1, 1, 2), Shop(2, 2, 3))
    keys = [key for key, _ in state.changes()]
    assert sorted(key for key in keys if not key.startswith(b"\0")) == [b"user-1", b"user-2"]
    assert state.changes() == []


def test_a_user_whose_id_looks_like_ours_survives() -> None:
    event = batch([Shop(1, 0, 1)])
    event.user[0] = b"\0task"
    state = new_state(WIDE, inputs=1)
    state.admit(event, NOW_MS)
    state.update(event)
    fresh = new_state(WIDE, inputs=1)
    fresh.restore(state.changes())
    assert fresh.user("\0task") == state.user("\0task") is not None


def test_forgotten_users_leave_a_tombstone_and_no_memory() -> None:
    brief = StateSettings(user_ttl_ms=2 * 3_600_000)
    state = fed(Shop(1, 0, 1), settings=brief)
    state.changes()
    admission = state.admit(batch([Shop(2, 3 * 3_600_000, 2)]), 3 * 3_600_000)
    for segment in admission.segments:
        state.close(segment.watermark_ms)
    state.update(batch([Shop(2, 3 * 3_600_000, 2)]))
    state.close()
    assert (b"user-1", None) in state.changes()
    assert (len(state), state.user("user-1")) == (1, None)


def test_what_the_forgotten_had_is_used_again() -> None:
    hour_ms, users = 3_600_000, 3_000
    state = new_state(StateSettings(user_ttl_ms=2 * hour_ms), inputs=1)
    rows: set[int] = set()
    sizes: set[int] = set()
    for turn in range(6):  # everybody is new, and the last ones' time is over
        time_ms = turn * 3 * hour_ms
        events = [Shop(turn * users + at, time_ms, turn * users + at + 1) for at in range(users)]
        for segment in state.admit(batch(events), time_ms).segments:
            state.close(segment.watermark_ms)
            state.update(batch([events[at] for at in segment.index.tolist()]))
        state.close()
        state.changes()
        assert users <= len(state) <= 2 * users
        if turn > 2:
            rows.add(state.row_count)
            sizes.add(state.memory_bytes() // 100_000)
    assert len(rows) == len(sizes) == 1


def test_an_active_user_takes_less_than_two_kilobytes() -> None:
    users = 20_000
    shipped = np.dtype([("held", "u1", (480,))])  # a row of 1,200 bytes, as with the shipped model
    state = TaskState(StateSettings(), carried=shipped, history=32, inputs=1)
    for first in range(0, users, 1_000):  # three quarters of an hour, so that sessions are open and most windows closed
        time_ms = first * 135
        events = [Shop(first + at, time_ms + at * 135, first + at + 1, item=at + 1) for at in range(1_000)]
        for segment in state.admit(batch(events), time_ms + 135_000).segments:
            state.close(segment.watermark_ms)
            state.update(batch([events[at] for at in segment.index.tolist()]))
        state.close()
        state.changes()
    assert state.row.itemsize == 1_200
    assert len(state) == users
    assert state.memory_bytes() / users <= 2_048


def test_a_stranger_is_unknown_and_a_known_user_is_plain_data() -> None:
    state = fed(Shop(1, 0, 1, action="purchase", price=2.5), Shop(1, 7, 2, action="review", item=3, text="good"))
    assert state.user("nobody") is None
    user: dict[str, Any] = state.user("user-1") or {}
    assert (user["events"], [entry["action"] for entry in user["history"]]) == (2, ["purchase", "review"])
    assert user["sentiment"] == pytest.approx(-0.8)
    assert {window["type"]: window["revenue"] for window in user["windows"]} == {
        "session": {"EUR": 2.5},
        "tumbling": {"EUR": 2.5},
    }


def test_event_times_as_far_apart_as_they_can_be_are_kept_apart() -> None:
    events = [Shop(1, -(1 << 50), 1), Shop(2, NOW_MS, 2), Shop(1, NOW_MS, 3), Shop(1, -(1 << 50), 4)]
    assert run(events, limit=4, inputs=1).verdicts[:3] == [ACCEPTED] * 3


@pytest.mark.parametrize(
    "wrong",
    [{"bound_ms": -1}, {"tumbling_ms": 0}, {"session_gap_ms": 1}, {"user_ttl_ms": 1_800_000}, {"idle_input_ms": 0}],
)
def test_a_wrong_setting_is_named(wrong: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        StateSettings(**wrong)
