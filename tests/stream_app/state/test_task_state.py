"""The state against the oracle: any stream, any batch limit, any restart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from stream_app.state import ACCEPTED, DUPLICATE, FUTURE, LATE, PARTIAL, StateSettings
from tests.stream_app.state.oracle import expected
from tests.stream_app.state.streams import SMALL, Shop, run

THOROUGH = settings(max_examples=1_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
BRIEF = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
GAP, WINDOW = SMALL.session_gap_ms, SMALL.tumbling_ms
STEPS = st.sampled_from([0, 0, 1, 2, 7, 20, WINDOW - 1, WINDOW, WINDOW + 1, GAP - 1, GAP, GAP + 1, 2 * GAP - 1, 400])
BACKS = st.sampled_from([0, 0, 0, 0, 1, 5, 6, 20, WINDOW, GAP - 1, GAP, 120, 160, 400])
PRICES = st.sampled_from([float("nan"), 0.5, 19.99, 0.0001])
CURRENCIES = st.sampled_from(["EUR", "USD", "CNY", "GBP", "JPY", "CHF", "XXX", ""])
KINDS = st.sampled_from(
    ["click", "click", "click", "view", "impression", "add_to_cart", "purchase", "search", "search", "review", "voice"]
)


@st.composite
def streams(draw: st.DrawFn, longest: int = 60) -> list[Shop]:
    """Two inputs, three users: disorder, repetitions, partial and future events, stamps on every boundary."""
    now, events, seen = 0, [], []
    for at in range(draw(st.integers(1, longest))):
        now += draw(STEPS)
        time = now - draw(BACKS)
        identity = at + 1
        kind = draw(st.sampled_from(["new"] * 12 + ["again", "moved", "partial", "future"]))
        if kind in ("again", "moved") and seen:
            identity, earlier = draw(st.sampled_from(seen))
            time = earlier if kind == "again" else time
        elif kind == "future":
            time += 2_000_000
        action = draw(KINDS)
        has_item = action not in ("search", "voice")
        events.append(
            Shop(
                user=draw(st.integers(0, 2)),
                time=time,
                identity=identity,
                source=draw(st.integers(0, 1)),
                action=action,
                item=draw(st.integers(1, 3)) if has_item else 0,
                query=draw(st.integers(0, 2)) if action == "search" else 0,
                results=draw(st.integers(-1, 1)) if action == "search" else -1,
                price=draw(PRICES),
                currency=draw(CURRENCIES),
                quantity=draw(st.integers(1, 3)),
                dwell=draw(st.integers(0, 5)),
                platform=draw(st.integers(0, 6)),
                partial=kind == "partial",
                text=draw(st.sampled_from([None, "", "a"])) if not has_item else None,
                image=draw(st.sampled_from([None, b"", b"a"])) if has_item else None,
            )
        )
        if kind == "new":
            seen.append((identity, time))
    return events


def test_the_streams_hold_every_verdict() -> None:
    """Raises NoSuchExample otherwise."""
    kinds = (ACCEPTED, DUPLICATE, LATE, PARTIAL, FUTURE)
    any_will_do = settings(BRIEF, max_examples=300, phases=[Phase.generate], derandomize=True)
    find(streams(), lambda events: all(k in expected(events, SMALL).verdicts for k in kinds), settings=any_will_do)


def without_digest(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in event.items() if name != "digest"} for event in events]


@pytest.mark.timeout(1_200)  # a thousand streams on cores that others use
@THOROUGH
@given(streams(), st.sampled_from([1, 7, 256]), st.integers(0, 3))
def test_any_stream_gives_what_the_oracle_gives(events: list[Shop], limit: int, restart_every: int) -> None:
    got, want = run(events, limit=limit, restart_every=restart_every), expected(events, SMALL)
    assert got.verdicts == want.verdicts
    assert got.finals == want.finals
    assert without_digest(got.events) == want.events


@BRIEF
@given(streams())
def test_the_batch_limit_changes_nothing(events: list[Shop]) -> None:
    one = run(events, limit=1)
    assert run(events, limit=7) == one
    assert run(events, limit=256) == one


@BRIEF
@given(streams(), st.sampled_from([1, 7]), st.integers(1, 3))
def test_a_restart_changes_nothing(events: list[Shop], limit: int, restart_every: int) -> None:
    assert run(events, limit=limit, restart_every=restart_every) == run(events, limit=limit)


@BRIEF
@given(streams(longest=120), st.sampled_from([1, 7, 256]))
def test_users_are_forgotten_at_the_same_event_for_any_limit(events: list[Shop], limit: int) -> None:
    brief = replace(SMALL, user_ttl_ms=GAP + WINDOW + SMALL.grace_ms)
    got, want = run(events, limit=limit, settings=brief, restart_every=3), expected(events, brief)
    assert got.finals == want.finals
    assert without_digest(got.events) == want.events


@BRIEF
@given(streams(), st.sampled_from([1, 7, 256]))
def test_a_long_grace_lets_one_event_join_several_published_sessions(events: list[Shop], limit: int) -> None:
    patient = replace(SMALL, grace_ms=2_000)
    got, want = run(events, limit=limit, settings=patient, restart_every=2), expected(events, patient)
    assert got.verdicts == want.verdicts
    assert got.finals == want.finals


@pytest.mark.parametrize("limit", [1, 7, 256])
def test_a_bridging_event_merges_published_sessions_and_names_them(limit: int) -> None:
    patient = replace(SMALL, grace_ms=2_000)
    events = [
        Shop(user=1, time=0, identity=1),
        Shop(user=1, time=150, identity=2),
        Shop(user=2, time=500, identity=3),
        Shop(user=1, time=75, identity=4),
    ]
    finals = [f for f in run(events, limit=limit, settings=patient, inputs=1).finals if f["kind"] == "session"]
    merged = [f for f in finals if f["revision"] == 2]
    assert [(f["start"], f["end"]) for f in finals if f["revision"] == 1 and f["user"] == "user-1"] == [
        (0, 100),
        (150, 250),
    ]
    assert [(f["start"], f["end"], f["supersedes"]) for f in merged] == [(0, 250, [(0, 100, 1), (150, 250, 1)])]


def test_default_settings_are_those_of_the_design() -> None:
    assert (StateSettings().session_gap_ms, StateSettings().tumbling_ms) == (1_800_000, 300_000)
