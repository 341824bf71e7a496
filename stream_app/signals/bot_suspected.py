"""Not shopping like a human."""

import numpy as np

from stream_app.signals.settings import SignalSettings
from stream_app.signals.signal import Fired
from stream_app.state.windows import WindowBatch


def bot_suspected(windows: WindowBatch, settings: SignalSettings) -> Fired:
    """anomaly score >= bot_anomaly, or at least bot_events events less than bot_gap_ms apart on average.

    Example: 100 product views in 20 seconds: 202 ms apart.
    """
    events = windows.events()
    gap_ms = (windows.rows["last_ms"] - windows.rows["first_ms"]) / np.maximum(events - 1, 1)
    quick = (events >= settings.bot_events) & (gap_ms < settings.bot_gap_ms)
    fired: Fired = quick | (windows.rows["scores"]["anomaly"] >= settings.bot_anomaly)
    return fired
