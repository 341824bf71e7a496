"""What to do about a user now, as one word."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

ACTION_OF: dict[str, str | None] = {
    "bot_suspected": None,
    "complaint": "resolve_complaint",
    "negative_sentiment": "call_back",
    "contradiction": "ask_what_was_meant",
    "falling_sentiment": "call_back",
    "rage_clicks": "offer_help",
    "search_friction": "help_search",
    "dead_ends": "help_search",
    "cart_abandoned": "remind_of_cart",
    "hot_lead": "make_offer",
    "slow_journey": "recommend_alternatives",
    "churn_risk": "win_back",
    "drop_off": "recommend_alternatives",
}
"""The first that fires decides: nobody is sold to while they are stuck or angry, and bots are left alone."""


def next_best_action(signals: Sequence[str]) -> str | None:
    """The action for a window's signals; None: leave them alone.

    Example: cart_abandoned and negative_sentiment: call_back, no reminder.
    """
    return _first(tuple(signals))


@lru_cache(4096)
def _first(signals: tuple[str, ...]) -> str | None:
    return next((action for signal, action in ACTION_OF.items() if signal in signals), None)
