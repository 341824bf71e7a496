"""Engagement signals: what a window says that somebody should act on. One signal per file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_app.errors import SettingsError
from stream_app.signals.bot_suspected import bot_suspected
from stream_app.signals.cart_abandoned import cart_abandoned
from stream_app.signals.churn_risk import churn_risk
from stream_app.signals.complaint import complaint
from stream_app.signals.contradiction import contradiction
from stream_app.signals.dead_ends import dead_ends
from stream_app.signals.drop_off import drop_off
from stream_app.signals.engagement_score import engagement_score
from stream_app.signals.falling_sentiment import falling_sentiment
from stream_app.signals.hot_lead import hot_lead
from stream_app.signals.negative_sentiment import negative_sentiment
from stream_app.signals.rage_clicks import rage_clicks
from stream_app.signals.search_friction import search_friction
from stream_app.signals.settings import SignalSettings
from stream_app.signals.signal import Signal
from stream_app.signals.slow_journey import slow_journey
from stream_app.state.windows import WindowBatch

SIGNALS: dict[str, Signal] = {
    "hot_lead": hot_lead,
    "cart_abandoned": cart_abandoned,
    "churn_risk": churn_risk,
    "negative_sentiment": negative_sentiment,
    "falling_sentiment": falling_sentiment,
    "contradiction": contradiction,
    "complaint": complaint,
    "search_friction": search_friction,
    "dead_ends": dead_ends,
    "rage_clicks": rage_clicks,
    "slow_journey": slow_journey,
    "drop_off": drop_off,
    "bot_suspected": bot_suspected,
}
"""In the order in which records list them; a user's cool-downs are kept by place, so add at the end."""

_DEFAULTS = SignalSettings()


def derive(windows: WindowBatch, settings: SignalSettings = _DEFAULTS) -> tuple[NDArray[np.float64], list[list[str]]]:
    """Engagement score (w,) and, per window, the names of the signals that fire."""
    fired: list[list[str]] = [[] for _ in range(len(windows))]
    for name, signal in SIGNALS.items():
        if name in settings.off:
            continue
        for index in np.flatnonzero(signal(windows, settings)).tolist():
            fired[index].append(name)
    return engagement_score(windows), fired


def check(settings: SignalSettings) -> SignalSettings:
    """The settings. Raises SettingsError where `off` names no signal."""
    if unknown := set(settings.off) - SIGNALS.keys():
        raise SettingsError(f"setting signals.off: no such signal: {', '.join(sorted(unknown))}")
    return settings
