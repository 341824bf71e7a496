"""Engagement signals: what a window says that somebody should act on. One signal per file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_app.signals.bot_suspected import bot_suspected
from stream_app.signals.cart_abandoned import cart_abandoned
from stream_app.signals.churn_risk import churn_risk
from stream_app.signals.contradiction import contradiction
from stream_app.signals.engagement_score import engagement_score
from stream_app.signals.hot_lead import hot_lead
from stream_app.signals.negative_sentiment import negative_sentiment
from stream_app.signals.rage_clicks import rage_clicks
from stream_app.signals.search_friction import search_friction
from stream_app.signals.settings import SignalSettings
from stream_app.signals.signal import Signal
from stream_app.state.windows import WindowBatch

SIGNALS: dict[str, Signal] = {
    "hot_lead": hot_lead,
    "cart_abandoned": cart_abandoned,
    "churn_risk": churn_risk,
    "negative_sentiment": negative_sentiment,
    "contradiction": contradiction,
    "search_friction": search_friction,
    "rage_clicks": rage_clicks,
    "bot_suspected": bot_suspected,
}
"""In the order in which records list them."""

_DEFAULTS = SignalSettings()


def derive(windows: WindowBatch, settings: SignalSettings = _DEFAULTS) -> tuple[NDArray[np.float64], list[list[str]]]:
    """Engagement score (w,) and, per window, the names of the signals that fire."""
    fired: list[list[str]] = [[] for _ in range(len(windows))]
    for name, signal in SIGNALS.items():
        for index in np.flatnonzero(signal(windows, settings)).tolist():
            fired[index].append(name)
    return engagement_score(windows), fired
