"""Unlikely to come back."""

from stream_app.signals.settings import SignalSettings
from stream_app.signals.signal import Fired
from stream_app.state.windows import WindowBatch


def churn_risk(windows: WindowBatch, settings: SignalSettings) -> Fired:
    """churn score of the window's last event >= churn.

    Example: score 0.9 after a voice call that went badly.
    """
    fired: Fired = windows.rows["scores"]["churn"] >= settings.churn
    return fired
