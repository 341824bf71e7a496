"""Unhappy in writing or speech."""

from stream_app.signals.settings import SignalSettings
from stream_app.signals.signal import Fired
from stream_app.state.windows import WindowBatch


def negative_sentiment(windows: WindowBatch, settings: SignalSettings) -> Fired:
    """Mean sentiment of the window's texts and calls <= negative_sentiment; never where nothing was said.

    Example: a review scored -0.8 and a call scored 0.0 give -0.4.
    """
    return windows.sentiment_mean() <= settings.negative_sentiment
