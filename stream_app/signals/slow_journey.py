"""Much time and many products, and still no cart."""

from stream_app.signals.settings import SignalSettings
from stream_app.signals.signal import Fired
from stream_app.state.windows import KINDS, WindowBatch


def slow_journey(windows: WindowBatch, settings: SignalSettings) -> Fired:
    """A session with last - first event >= `slow_ms`, views + clicks >= `slow_looks`, no cart and no purchase.

    Example: eleven products looked at in 25 minutes, none put into the cart.
    """
    rows = windows.rows
    long = (rows["kind"] == KINDS.index("session")) & (rows["last_ms"] - rows["first_ms"] >= settings.slow_ms)
    looked = windows.count("view", "click") >= settings.slow_looks
    fired: Fired = long & looked & (windows.count("add_to_cart", "purchase") == 0)
    return fired
