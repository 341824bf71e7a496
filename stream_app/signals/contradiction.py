"""Stars that do not fit the words."""

import numpy as np

from stream_app.signals.settings import SignalSettings
from stream_app.signals.signal import Fired
from stream_app.state.windows import WindowBatch


def contradiction(windows: WindowBatch, settings: SignalSettings) -> Fired:
    """At least `contradictions` reviews whose rating is far from what their text says, as counted by the state.

    Example: five stars for "Broke after a day, want my money back."
    """
    if "contradictions" not in (windows.rows.dtype.names or ()):
        return np.zeros(len(windows), np.bool_)
    fired: Fired = windows.rows["contradictions"] >= settings.contradictions
    return fired
