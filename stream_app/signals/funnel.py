"""How far a user came on the way to buying."""

import numpy as np
from numpy.typing import NDArray

from stream_app.state.windows import WindowBatch

STEPS = ("none", "seen", "looked", "wanted", "carted", "bought")
_ACTIONS = (("impression", "search"), ("view", "click"), ("wishlist",), ("add_to_cart",), ("purchase",))


def funnel_step(windows: WindowBatch) -> NDArray[np.int64]:
    """(w,) index into STEPS of the furthest step: impression or search, view or click, wish list, cart, purchase.

    Example: views and an add_to_cart, no purchase: carted, even where the cart is empty again.
    """
    step = np.zeros(len(windows), np.int64)
    for at, actions in enumerate(_ACTIONS, start=1):
        step[windows.count(*actions) > 0] = at
    return step
