"""Campaigns: who is held out never changes, and what is called uplift is one."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from stream_app.campaign.holdout import held_out
from stream_app.campaign.measure import Group, exposure, measure, uplift, wilson

HOUR = 3_600_000
USERS = [f"u{n}".encode() for n in range(20_000)]


def test_the_share_is_held_out_and_stays_when_the_share_grows() -> None:
    few = {user for user in USERS if held_out(user, share=0.1, campaign="spring")}
    more = {user for user in USERS if held_out(user, share=0.2, campaign="spring")}
    assert len(few) == pytest.approx(2_000, rel=0.1)
    assert few < more


def test_another_campaign_holds_out_others() -> None:
    spring, summer = ({u for u in USERS if held_out(u, share=0.1, campaign=name)} for name in ("spring", "summer"))
    assert len(spring & summer) == pytest.approx(200, rel=0.4)


def test_it_is_the_same_on_every_machine() -> None:
    chosen = [held_out(user, share=0.5, campaign="c") for user in USERS[:8]]
    assert chosen == [False, True, False, True, False, False, True, False]


def test_the_interval_is_newcombes() -> None:
    found = uplift(Group(70, 56), Group(80, 48))  # his example (a): 0.2000, 0.0524 to 0.3339
    assert (found.difference, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert found.sure
    assert wilson(Group(10, 0))[0] == 0


def test_nothing_is_known_without_a_comparison() -> None:
    found = uplift(Group(10, 5), Group(0, 0))
    assert (found.low, found.high, found.sure) == (-1.0, 1.0, False)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    dice, hits = Random(5), 0
    for _ in range(400):
        treated = Group(300, sum(dice.random() < 0.12 for _ in range(300)))
        control = Group(60, sum(dice.random() < 0.08 for _ in range(60)))
        found = uplift(treated, control)
        hits += found.low <= 0.04 <= found.high
    assert 0.92 <= hits / 400 <= 0.99


def told(user: str, at_ms: int, holdout: bool, signal: str = "hot_lead") -> dict[str, Any]:
    return {"user_id": user, "signal": signal, "event_time": at_ms, "holdout": holdout}


def buys(user: str, at_ms: int, action: str = "purchase", **more: Any) -> dict[str, Any]:
    return {"user_id": user, "action": action, "event_time": at_ms, **more}


def test_only_purchases_after_the_first_announcement_and_within_the_horizon_count() -> None:
    announced = [told("a", 5, False), told("a", 9 * HOUR, False), told("b", 5, False), told("c", 5, True)]
    announced += [told("d", 5, False), told("e", 5, False, signal="churn_risk")]
    clicks = [buys("a", HOUR), buys("a", HOUR), buys("b", 4), buys("c", HOUR), buys("d", 3 * HOUR), buys("e", 9)]
    found = measure(announced, [*clicks, buys("b", 9, "view")], signal="hot_lead", horizon_ms=2 * HOUR)
    assert (found.treated, found.held_out) == (Group(3, 1), Group(1, 1))


def test_exposure_is_counted_per_prediction() -> None:
    clicks = [buys("a", 1, action, prediction_id=name) for name, action in
              [("x", "impression"), ("x", "click"), ("x", "purchase"), ("y", "impression")]]  # fmt: skip
    found = exposure([*clicks, buys("a", 2)])
    assert (found.shown, found.clicked, found.bought) == (2, Group(2, 1), Group(2, 1))
