"""How much a user engages, as one number."""

import numpy as np
from numpy.typing import NDArray

from stream_app.state.windows import WindowBatch

DEEP, WANTED, SAID = ("view", "click"), ("add_to_cart", "wishlist"), ("search", "review", "voice")


def engagement_score(windows: WindowBatch) -> NDArray[np.float64]:
    """(w,) from 0 to 100, one decimal.

        100 x ( 0.20 s(views + clicks, 5) + 0.10 s(minutes of dwell, 2) + 0.15 s(unique products, 3)
              + 0.20 s(carts + wish lists, 1) + 0.20 s(purchases, 1) + 0.15 s(searches + reviews + voice, 2) )

    with s(x, h) = 1 - 2^(-x/h): each term is half full at h and never overflows, so that volume alone cannot reach
    100. Five views of three products and one cart: 10 + 0 + 7.5 + 10 = 27.5.
    """

    def half_full(figure: NDArray[np.float64] | NDArray[np.int64], half: float) -> NDArray[np.float64]:
        return 1.0 - np.exp2(-np.maximum(figure, 0) / half)

    share = (
        0.20 * half_full(windows.count(*DEEP), 5)
        + 0.10 * half_full(windows.rows["dwell_ms"] / 60_000, 2)
        + 0.15 * half_full(windows.unique_products(), 3)
        + 0.20 * half_full(windows.count(*WANTED), 1)
        + 0.20 * half_full(windows.count("purchase"), 1)
        + 0.15 * half_full(windows.count(*SAID), 2)
    )
    return np.round(100 * share, 1)
