"""The ladder of tiers: one step at a time, back at half the lag, never where it is off."""

from stream_app.worker.overload import Overload


def tiers(overload: Overload, *lags_s: float) -> list[str]:
    seen = []
    for lag_s in lags_s:
        overload.look(lag_s)
        seen.append(overload.tier)
    return seen


def test_it_goes_down_and_up_one_step_at_a_time() -> None:
    assert tiers(Overload(4), 3.9, 90, 90, 90, 4, 3.9, 2, 1.9) == [
        "full",
        "no_recommendations",
        "behavior_only",
        "behavior_only",
        "behavior_only",
        "no_recommendations",
        "no_recommendations",
        "full",
    ]


def test_a_lag_about_the_limit_does_not_make_it_flap() -> None:
    assert set(tiers(Overload(4), 4, 3.9, 4, 2.1, 4.1)) == {"no_recommendations"}


def test_by_default_answers_are_full_however_late() -> None:
    assert tiers(Overload(0), 1e9, 0, 1e9) == ["full"] * 3
