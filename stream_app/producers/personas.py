"""Kinds of shoppers: how often they come, what they do next, how much of it ends in a purchase."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate

STEPS = ("view", "browse", "search", "cart", "wish", "remove", "buy", "voice", "exit")

_NEXT: dict[str, tuple[float, ...]] = {  # rows: where from; columns: STEPS
    "start": (0.15, 0.52, 0.31, 0, 0, 0, 0, 0.02, 0),
    "browse": (0.62, 0.12, 0.08, 0, 0, 0, 0, 0.01, 0.17),
    "search": (0.70, 0.05, 0.10, 0, 0, 0, 0, 0.01, 0.14),
    "view": (0.38, 0.14, 0.08, 0.10, 0.03, 0, 0.015, 0.015, 0.24),
    "cart": (0.36, 0.12, 0.05, 0, 0, 0.06, 0.18, 0.02, 0.21),
    "wish": (0.50, 0.15, 0.05, 0.05, 0, 0, 0, 0.01, 0.24),
    "remove": (0.35, 0.15, 0.05, 0.05, 0, 0.05, 0.05, 0.01, 0.29),
    "buy": (0.10, 0.08, 0.03, 0, 0, 0, 0, 0.02, 0.77),
    "voice": (0.45, 0.15, 0.10, 0.08, 0, 0, 0.02, 0.04, 0.16),
}
_WITH_INTENT = {"cart": 3.0, "buy": 2.2, "exit": 0.6, "remove": 0.6}
_WITHOUT_INTENT = {"cart": 0.35, "buy": 0.12, "exit": 1.2, "wish": 1.5}


@dataclass(frozen=True)
class Persona:
    """One kind of shopper. `habits` multiplies the chance of a step; shares are in 0..1."""

    name: str
    share: float
    sessions_per_day: float
    intent: float  # share of sessions begun in order to buy
    cheap: float = 0.0  # chance to take the cheapest of several
    loyal: float = 0.1  # chance to stay with a loved brand
    reviews: float = 0.5  # of what was bought
    pictures: float = 0.1  # of reviews and searches
    habits: Mapping[str, float] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash(self.name)


PERSONAS = (
    Persona("browser", 0.32, 1.2, 0.06, habits={"browse": 1.4, "cart": 0.6}),
    Persona("bargain_hunter", 0.18, 2.0, 0.25, cheap=0.8, habits={"search": 1.6, "cart": 1.3, "buy": 0.7, "remove": 3}),
    Persona("loyal", 0.16, 2.4, 0.45, loyal=0.75, reviews=0.7, habits={"buy": 1.3, "search": 0.7}),
    Persona("researcher", 0.16, 1.5, 0.3, reviews=0.8, habits={"view": 1.6, "search": 1.6, "exit": 0.7, "wish": 2}),
    Persona("impulse", 0.10, 1.8, 0.4, reviews=0.3, habits={"cart": 1.6, "buy": 1.6, "exit": 1.4}),
    Persona("talker", 0.08, 1.2, 0.3, reviews=0.4, pictures=0.5, habits={"voice": 9, "search": 0.6}),
)


@cache
def next_steps(persona: Persona, intent: bool) -> dict[str, list[float]]:
    """Per step the cumulated weights over STEPS of what this shopper does next."""
    bias = _WITH_INTENT if intent else _WITHOUT_INTENT
    return {
        step: list(accumulate(w * bias.get(s, 1) * persona.habits.get(s, 1) for s, w in zip(STEPS, row, strict=True)))
        for step, row in _NEXT.items()
    }
