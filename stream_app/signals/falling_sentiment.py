"""Growing unhappy."""

from stream_app.signals.settings import SignalSettings
from stream_app.signals.signal import Fired
from stream_app.state.windows import WindowBatch


def falling_sentiment(windows: WindowBatch, settings: SignalSettings) -> Fired:
    """sentiment_falls >= `sentiment_falls`: opinions at least 0.6 below the user's opinion before, whenever that was.

    Example: a review scored 0.7 and, a week later, a call scored -0.2.
    """
    fired: Fired = windows.rows["sentiment_falls"] >= settings.sentiment_falls
    return fired
