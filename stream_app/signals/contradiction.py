"""Stars that do not fit the words."""

from stream_app.signals.settings import SignalSettings
from stream_app.signals.signal import Fired
from stream_app.state.windows import WindowBatch


def contradiction(windows: WindowBatch, settings: SignalSettings) -> Fired:
    """contradictions >= `contradictions`, as counted by the state: a review whose stars (at most 2, at least 4) say
    the opposite of its own text, or speech that says the opposite of stars given within a day.

    Example: five stars for "Broke after a day, want my money back."
    """
    fired: Fired = windows.rows["contradictions"] >= settings.contradictions
    return fired
