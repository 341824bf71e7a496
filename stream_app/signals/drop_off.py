"""Left on the way from looking to buying."""

from stream_app.signals.funnel import STEPS, funnel_step
from stream_app.signals.settings import SignalSettings
from stream_app.signals.signal import Fired
from stream_app.state.windows import KINDS, WindowBatch


def drop_off(windows: WindowBatch, settings: SignalSettings) -> Fired:
    """The session is over, its funnel step is looked, wanted or carted, and it had `drop_off_looks` views + clicks.

    Example: five views and a wish list, then gone: dropped off at `wanted`.
    """
    over = windows.is_final & (windows.rows["kind"] == KINDS.index("session"))
    step = funnel_step(windows)
    between = (step >= STEPS.index("looked")) & (step < STEPS.index("bought"))
    looks = windows.count("view", "click")
    fired: Fired = over & between & (looks >= settings.drop_off_looks)
    return fired
