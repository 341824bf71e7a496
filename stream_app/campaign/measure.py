"""What a campaign did: the announced against the held out, with an interval. A propensity score is no uplift."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any, NamedTuple

from stream_app.events.instants import milliseconds

Z95 = 1.959964
"""Of a two-sided 95 % interval."""


class Group(NamedTuple):
    """Users and how many of them converted."""

    users: int
    converted: int

    @property
    def rate(self) -> float:
        """Share that converted; 0 where there is nobody."""
        return self.converted / self.users if self.users else 0.0


@dataclass(frozen=True)
class Uplift:
    """Conversion of the treated minus that of the held out."""

    treated: Group
    held_out: Group
    difference: float
    low: float
    high: float
    """95 % interval (Newcombe 1998, method 10)."""

    @property
    def sure(self) -> bool:
        """Whether the interval leaves out "no effect"."""
        return self.low > 0 or self.high < 0


def uplift(treated: Group, held_out: Group) -> Uplift:
    """The difference of two proportions. Without users in a group nothing is known: -1 to 1."""
    if not treated.users or not held_out.users:
        return Uplift(treated, held_out, treated.rate - held_out.rate, -1.0, 1.0)
    (low1, high1), (low2, high2) = wilson(treated), wilson(held_out)
    difference = treated.rate - held_out.rate
    low = difference - sqrt((treated.rate - low1) ** 2 + (high2 - held_out.rate) ** 2)
    high = difference + sqrt((high1 - treated.rate) ** 2 + (held_out.rate - low2) ** 2)
    return Uplift(treated, held_out, difference, low, high)


def wilson(group: Group) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927)."""
    n, p, zz = group.users, group.rate, Z95 * Z95
    middle = (p + zz / (2 * n)) / (1 + zz / n)
    half = Z95 / (1 + zz / n) * sqrt(p * (1 - p) / n + zz / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def measure(
    announcements: Iterable[Mapping[str, Any]], clicks: Iterable[Mapping[str, Any]], *, signal: str, horizon_ms: int
) -> Uplift:
    """Users to whom the signal was announced against the held out; converted: bought within the horizon after it.

    Everybody is counted by the group they were put in, whether the campaign reached them or not (intention to treat).
    """
    first: dict[str, tuple[int, bool]] = {}
    for one in announcements:
        if one["signal"] == signal:
            at_ms = _ms(one["event_time"])
            user = one["user_id"]
            if user not in first or at_ms < first[user][0]:
                first[user] = at_ms, bool(one["holdout"])
    bought = {
        user
        for click in clicks
        if click.get("action") == "purchase"
        and (user := click.get("user_id") or click.get("anonymous_id")) in first
        and 0 < _ms(click["event_time"]) - first[user][0] <= horizon_ms
    }
    groups = {
        held: Group(sum(h == held for _, h in first.values()), sum(first[user][1] == held for user in bought))
        for held in (False, True)
    }
    return uplift(groups[False], groups[True])


class Exposure(NamedTuple):
    """What became of recommendations that were shown."""

    shown: int
    """Predictions of which a product was seen or clicked with their `prediction_id`."""
    clicked: Group
    bought: Group


def exposure(clicks: Iterable[Mapping[str, Any]]) -> Exposure:
    """Clicks and purchases per shown prediction, by `prediction_id`. Says what was chosen, not what it caused."""
    did: dict[str, set[str]] = {}
    for click in clicks:
        if identity := click.get("prediction_id"):
            did.setdefault(identity, set()).add(click["action"])
    n = len(did)
    clicked = sum(bool(actions & {"view", "click"}) for actions in did.values())
    return Exposure(n, Group(n, clicked), Group(n, sum("purchase" in actions for actions in did.values())))


def _ms(time: str | int) -> int:
    return int(milliseconds([time])[0])
