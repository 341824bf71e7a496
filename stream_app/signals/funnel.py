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
    reached = [np.sum([windows.count(action) for action in actions], axis=0) > 0 for actions in _ACTIONS]
    step: NDArray[np.int64] = np.max([hit * at for at, hit in enumerate(reached, start=1)], axis=0)
    return step
