"""Hammering on something that does not react."""

from stream_app.signals.settings import SignalSettings
from stream_app.signals.signal import Fired
from stream_app.state.windows import WindowBatch


def rage_clicks(windows: WindowBatch, settings: SignalSettings) -> Fired:
    """At least `rage_clicks` raging clicks, as counted by the state.

    Example: four clicks on one product within a second.
    """
    fired: Fired = windows.rows["rage_clicks"] >= settings.rage_clicks
    return fired
