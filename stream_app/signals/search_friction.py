"""Searches without finding."""

from stream_app.signals.settings import SignalSettings
from stream_app.signals.signal import Fired
from stream_app.state.windows import WindowBatch


def search_friction(windows: WindowBatch, settings: SignalSettings) -> Fired:
    """Searches that found nothing + reformulated queries >= friction, and neither cart nor purchase after all.

    Example: "sofa bed grey", then "grey sofa", both without results.
    """
    stuck = windows.rows["zero_results"] + windows.rows["reformulations"] >= settings.friction
    fired: Fired = stuck & (windows.count("add_to_cart", "purchase") == 0)
    return fired
