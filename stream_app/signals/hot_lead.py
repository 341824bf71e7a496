"""About to buy: worth an offer or a call."""

from stream_app.signals.settings import SignalSettings
from stream_app.signals.signal import Fired
from stream_app.state.windows import WindowBatch


def hot_lead(windows: WindowBatch, settings: SignalSettings) -> Fired:
    """purchase score >= hot_purchase, nothing bought, and a cart or wish list or hot_products products seen.

    Example: score 0.7, two sofas and a lamp viewed, no purchase.
    """
    wanted = windows.count("add_to_cart", "wishlist") > 0
    looked = windows.unique_products() >= settings.hot_products
    likely = windows.rows["scores"]["purchase"] >= settings.hot_purchase  # NaN: no prediction yet, never
    fired: Fired = likely & (wanted | looked) & (windows.count("purchase") == 0)
    return fired
