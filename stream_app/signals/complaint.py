"""Unhappy about something that has a name."""

import numpy as np

from stream_app.signals.settings import SignalSettings
from stream_app.signals.signal import Fired
from stream_app.state.complaints import TOPICS
from stream_app.state.windows import COMPLAINTS, WindowBatch


def complaint(windows: WindowBatch, settings: SignalSettings) -> Fired:
    """A topic named by at least `complaints` texts or calls with a sentiment of at most -0.3 or at most two stars.

    Example: "The lamp arrived damaged, I want a refund." is about quality and returns.
    """
    fired: Fired = np.any([windows.rows[column] >= settings.complaints for column in COMPLAINTS], axis=0)
    return fired


def complaint_topics(windows: WindowBatch) -> list[list[str]]:
    """Per window the topics that were complained about, the most frequent first."""
    counts = np.stack([windows.rows[column] for column in COMPLAINTS], axis=1)
    topics: list[list[str]] = [[] for _ in range(len(windows))]
    for at in np.flatnonzero(counts.any(axis=1)).tolist():
        order = np.argsort(-counts[at], kind="stable").tolist()
        topics[at] = [TOPICS[topic] for topic in order if counts[at, topic]]
    return topics
