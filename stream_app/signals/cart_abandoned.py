"""Left with a full cart."""

from stream_app.signals.settings import SignalSettings
from stream_app.signals.signal import Fired
from stream_app.state.windows import KINDS, WindowBatch


def cart_abandoned(windows: WindowBatch, _: SignalSettings) -> Fired:
    """The session is over, more was added to the cart than removed, and nothing was bought.

    Example: a session closes after add_to_cart, add_to_cart, remove_from_cart. A tumbling window never says so: its
    end is not the user's.
    """
    left = windows.count("add_to_cart") > windows.count("remove_from_cart")
    over = windows.is_final & (windows.rows["kind"] == KINDS.index("session"))
    fired: Fired = over & left & (windows.count("purchase") == 0)
    return fired
