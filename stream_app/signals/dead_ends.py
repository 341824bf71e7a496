"""Searches that led nowhere."""

import numpy as np

from stream_app.signals.settings import SignalSettings
from stream_app.signals.signal import Fired
from stream_app.state.windows import KINDS, WindowBatch


def dead_ends(windows: WindowBatch, settings: SignalSettings) -> Fired:
    """The session is over and searches - answered searches >= `dead_ends`; the first view, click, wish, cart or
    purchase after a search answers it.

    Example: "lamp", "desk lamp", then gone: two searches, none of which led to a product.
    """
    over = windows.is_final & (windows.rows["kind"] == KINDS.index("session"))
    fired: Fired = over & (
        np.subtract(windows.count("search"), windows.rows["answered_searches"]) >= settings.dead_ends
    )
    return fired
