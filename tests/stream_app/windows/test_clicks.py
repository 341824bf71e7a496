"""A batch of clicks in, counts and changelog out."""

from __future__ import annotations

import orjson

from stream_app.windows.clicks import SIZE_MS, ClickWindows


def value(event_id: str, user: str = "u", **more: object) -> bytes:
    click = {"event_id": event_id, "user_id": user, "item_id": "i", "event_time": 0, "type": "view", "dwell_ms": 5}
    return orjson.dumps(click | more)


def test_each_click_is_answered_with_its_window_so_far() -> None:
    answer = ClickWindows().step(
        [value("a"), value("b", type="purchase"), value("c", "v"), value("d", event_time=SIZE_MS)]
    )
    found = [(one["event_id"], one["window_start"], one["count"], one["dwell_sum"], one["carts"], one["purchases"])
             for one in map(orjson.loads, answer.values)]  # fmt: skip
    assert found == [("a", 0, 1, 5, 0, 0), ("b", 0, 2, 10, 0, 1), ("c", 0, 1, 5, 0, 0), ("d", SIZE_MS, 1, 5, 0, 0)]
    assert answer.keys == [b"u", b"u", b"v", b"u"]
    assert answer.state_keys == [b"u", b"v"]


def test_a_bad_record_is_refused_and_the_others_count() -> None:
    bad = [None, b"", b"[", b"1,2", b'{"a":1},{"b":2}', value("x", dwell_ms=-1), value("x", type="hover"), b"\xff"]
    answer = ClickWindows().step([value("a"), *bad, value("b")])
    assert [orjson.loads(one)["count"] for one in answer.values] == [1, 2]
    assert answer.refused == len(bad)


def test_nothing_but_bad_records_brings_nothing_forth() -> None:
    answer = ClickWindows().step([b"[", None])
    assert (answer.keys, answer.state_keys, answer.refused) == ([], [], 2)


def test_two_clicks_in_one_value_are_no_click() -> None:
    answer = ClickWindows().step([value("a") + b"," + value("b")])
    assert answer.values == []


def test_a_late_click_changes_nothing() -> None:
    windows = ClickWindows()
    windows.step([value("a", event_time=4 * SIZE_MS)])
    answer = windows.step([value("late"), value("b", event_time=4 * SIZE_MS)])
    assert answer.late == 1
    assert [orjson.loads(one)["count"] for one in answer.values] == [2]


def test_a_user_silent_for_long_leaves_a_tombstone() -> None:
    windows = ClickWindows(forget_ms=4 * SIZE_MS)
    windows.step([value("a", event_time=10 * SIZE_MS)])
    answer = windows.step([value("b", "v", event_time=20 * SIZE_MS)])
    changes = dict(zip(answer.state_keys, answer.state_values, strict=True))
    assert changes[b"u"] is None
    assert changes[b"v"]


def test_the_changelog_restores_the_counts() -> None:
    windows, fresh = ClickWindows(), ClickWindows()
    first = windows.step([value("a"), value("b", "v")])
    fresh.restore({key: packed for key, packed in zip(first.state_keys, first.state_values, strict=True) if packed})
    assert [orjson.loads(one)["count"] for one in fresh.step([value("c")]).values] == [2]
