"""Rules over a user's events in the order in which they were applied. Pure: carries in, carries out.

Distances are absolute differences of event times. The order is that of the log, so that a replay counts the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_app.events import ACTIONS
from stream_app.state.runs import Ints, ends, starts

CLICK, SEARCH = ACTIONS.index("click"), ACTIONS.index("search")
DEEDS = np.isin(ACTIONS, ("view", "click", "add_to_cart", "wishlist", "purchase"))
"""By action: does something with a product."""
REFORMULATION_MS = 120_000
RAGE_MS = 2_000
RAGE_CLICKS = 3

Flags = NDArray[np.bool_]


def reformulated(
    row: Ints, first: Ints, action: NDArray[np.uint8], time: Ints, query: NDArray[np.uint64], base: NDArray[np.void]
) -> Flags:
    """(n,) searches with another text than the user's previous search, within REFORMULATION_MS, no click between.

    A search without text (by picture) neither is nor has a reformulation. Updates `base` (u,).
    """
    clicks = np.concatenate(([0], np.cumsum(action == CLICK)))  # before each event
    end = ends(first, len(row))
    found = np.zeros(len(row), np.bool_)
    clicked_before = base["clicked"].astype(np.bool_)
    base["clicked"] |= clicks[end] > clicks[first]
    at = np.flatnonzero(action == SEARCH)
    if not len(at):
        return found
    user = row[at]
    opening = starts(user)
    text, when = query[at], time[at]
    previous_text, previous_ms, previous_clicks = np.roll(text, 1), np.roll(when, 1), np.roll(clicks[at], 1)
    previous_text[opening] = base["search_hash"][user[opening]]
    previous_ms[opening] = base["search_ms"][user[opening]]
    previous_clicks[opening] = clicks[first[user[opening]]]
    clicked = clicks[at] > previous_clicks
    clicked[opening] |= clicked_before[user[opening]]
    near = np.abs(when - previous_ms) <= REFORMULATION_MS
    found[at] = (text != previous_text) & (text != 0) & (previous_text != 0) & near & ~clicked
    closing = ends(opening, len(at)) - 1
    last = user[closing]
    base["search_hash"][last], base["search_ms"][last] = text[closing], when[closing]
    base["clicked"][last] = clicks[end[last]] > clicks[at[closing]]
    return found


def raging(row: Ints, action: NDArray[np.uint8], time: Ints, item: NDArray[np.uint64], base: NDArray[np.void]) -> Flags:
    """(n,) clicks that are the RAGE_CLICKSth or later of a run: the user's consecutive clicks on one item, each within
    RAGE_MS of the one before; other actions don't break it. Updates `base` (u,).
    """
    found = np.zeros(len(row), np.bool_)
    at = np.flatnonzero(action == CLICK)
    if not len(at):
        return found
    user, target, when = row[at], item[at], time[at]
    opening = starts(user)
    previous_item, previous_ms = np.roll(target, 1), np.roll(when, 1)
    previous_item[opening] = base["click_item"][user[opening]]
    previous_ms[opening] = base["click_ms"][user[opening]]
    goes_on = (target == previous_item) & (target != 0) & (np.abs(when - previous_ms) <= RAGE_MS)
    length = np.ones(len(at), np.int64)  # of the run that begins here, including what was carried
    length[opening] += np.where(goes_on[opening], base["click_run"][user[opening]], 0)
    begins = ~goes_on
    begins[opening] = True
    position = np.arange(len(at))
    begin = np.maximum.accumulate(np.where(begins, position, 0))
    run = position - begin + length[begin]
    found[at] = run >= RAGE_CLICKS
    closing = ends(opening, len(at)) - 1
    last = user[closing]
    base["click_item"][last], base["click_ms"][last], base["click_run"][last] = (
        target[closing],
        when[closing],
        run[closing],
    )
    return found


def answered(row: Ints, action: NDArray[np.uint8], base: NDArray[np.void]) -> Flags:
    """(n,) deeds that are the user's first after a search: that search led somewhere. Updates `base` (u,)."""
    turning = np.flatnonzero((action == SEARCH) | DEEDS[action])
    found = np.zeros(len(row), np.bool_)
    if not len(turning):
        return found
    user, search = row[turning], action[turning] == SEARCH
    opening = starts(user)
    before = np.roll(search, 1)
    before[opening] = base["searching"][user[opening]] > 0
    found[turning] = ~search & before
    closing = ends(opening, len(turning)) - 1
    base["searching"][user[closing]] = search[closing]
    return found
