"""Facts of a window: counted once per user, bounded by sampling, back after a restart."""

from __future__ import annotations

from random import Random

import pytest

from stream_app.insights.facts import Facts


def users(n: int, seed: int = 1) -> list[int]:
    dice = Random(seed)
    return [dice.getrandbits(64) for _ in range(n)]


def test_a_user_counts_once_however_often() -> None:
    facts = Facts(100)
    for user in (1, 1, 2):
        facts.add("trending_items", "lamp", user, total=5)
    assert facts.cells("trending_items") == {"lamp": (2, 3, 15)}


def test_the_last_value_counts_and_reach_never_goes_back() -> None:
    facts = Facts(100)
    for value in (3, 1):
        facts.say("segments", 7, value)
        facts.reach("funnel", 7, value)
    assert (facts.values("segments"), facts.values("funnel")) == ({1: 1}, {3: 1})


def test_beyond_the_limit_users_are_sampled_and_figures_scaled() -> None:
    facts = Facts(1_000)
    for user in users(16_000):
        facts.add("trending_items", "lamp", user)
    assert len(facts) <= 1_000
    assert facts.sampled < 0.1
    assert facts.cells("trending_items")["lamp"][0] == pytest.approx(16_000, rel=0.15)


def test_the_order_of_users_changes_nothing() -> None:
    crowd = users(3_000)
    whole = []
    for order in (crowd, crowd[::-1]):
        facts = Facts(500)
        for user in order:
            facts.add("trending_items", f"p{user % 3}", user)
        whole.append((facts.sampled, facts.cells("trending_items")))
    assert whole[0] == whole[1]


@pytest.mark.parametrize(("limit", "every"), [(10_000, 100), (10_000, 700), (300, 50)])
def test_a_restart_changes_nothing(limit: int, every: int) -> None:
    kept: dict[int, bytes] = {}
    crowd = users(2_000)
    straight, broken = Facts(limit), Facts(limit)
    for at, user in enumerate(crowd):
        for facts in (straight, broken):
            facts.add("trending_items", f"p{user % 5}", user)
        if at % every == 0:
            kept.update(broken.changes())
            broken = Facts(limit)
            broken.restore(kept.items())
            assert broken.chunks == len(kept)
    assert broken.sampled == straight.sampled
    assert broken.cells("trending_items") == straight.cells("trending_items")
