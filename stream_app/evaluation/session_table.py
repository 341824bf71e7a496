"""What the stream's features say of a session up to each event, as one plain table: the same for every model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusion.features import NUMERICS, FeatureBatch
from fusion.material import Example
from stream_app.events import ACTIONS
from stream_app.state import StateSettings

PURCHASE, CART, REMOVED = (ACTIONS.index(name) for name in ("purchase", "add_to_cart", "remove_from_cart"))
PRICE = NUMERICS.index("log_price")
COMMON = 24
"""So many categories and brands have a column of their own."""


class Questions(NamedTuple):
    """n events before any purchase of their session, after each of which it is asked whether one will come."""

    table: NDArray[np.float32]  # (n, k)
    names: tuple[str, ...]  # (k,)
    buys: NDArray[np.float32]  # (n,)
    user: NDArray[np.int64]  # (n,) a number
    last: NDArray[np.bool_]  # (n,) nothing more is asked in its session: it was bought in, or left


def questions_of(examples: Sequence[Example]) -> Questions:
    """All events of all examples, users numbered on; what is categorical is counted without looking at labels."""
    tables: list[NDArray[np.float32]] = []
    columns_: tuple[list[NDArray[Any]], ...] = ([], [], [], [])
    category = np.concatenate([e.features.category for e in examples])
    brand = np.concatenate([e.features.brand for e in examples])
    kinds = [("category", commonest(category)), ("brand", commonest(brand))]
    names: tuple[str, ...] = ()
    shift = 0
    for example in examples:
        names, table, before = rows_of(example.features)
        common = [(getattr(example.features, kind)[:, None] == known[None]).astype(np.float32) for kind, known in kinds]
        tables.append(np.concatenate([table, *common], 1))
        final = last_of(example.features, before)
        ask: tuple[NDArray[Any], ...] = (example.outcomes.purchase, example.features.row + shift, final, before)
        for column, values in zip(columns_, ask, strict=True):
            column.append(values)
        shift += len(example.features.carried)
    buys, user, last, keep = (np.concatenate(column) for column in columns_)
    columns = (*names, *(f"{kind}_{at}" for kind, known in kinds for at in range(len(known))))
    return Questions(np.concatenate(tables)[keep], columns, buys[keep], user[keep], last[keep])


def rows_of(features: FeatureBatch) -> tuple[tuple[str, ...], NDArray[np.float32], NDArray[np.bool_]]:
    """Names, values (n, k) and which events come before any purchase of their session (n,)."""
    lines: list[dict[str, float]] = []
    before = np.ones(len(features), bool)
    gap_s = StateSettings().session_gap_ms / 1000
    session, user, past = Session(0), -1, 0
    for at in range(len(features)):
        fresh = features.row[at] != user
        if fresh or features.gap_s[at] >= gap_s:
            past = 0 if fresh else past + session.bought
            session = Session(0 if fresh else session.number + 1)
            user = features.row[at]
        lines.append(session.after(features, at) | {"bought_before": float(past)})
        before[at] = not session.bought
    names = tuple(lines[0])
    return names, np.array([[line[name] for name in names] for line in lines], np.float32), before


def last_of(features: FeatureBatch, before: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which events (n,) are the last before the purchase or the end of their session."""
    fresh = (np.diff(features.row, prepend=-1) != 0) | (features.gap_s >= StateSettings().session_gap_ms / 1000)
    after = np.append(fresh[1:] | ~before[1:], True)
    last: NDArray[np.bool_] = before & after
    return last


class Session:
    """What is known of a session so far."""

    def __init__(self, number: int) -> None:
        self.number, self.bought, self.events, self.elapsed_s = number, 0, 0, 0.0
        self.views: dict[int, int] = {}
        self.cart: dict[int, float] = {}
        self.categories: set[int] = set()
        self.brands: set[int] = set()
        self.prices: list[float] = []
        self.carts, self.since_cart, self.last_item, self.last_category = 0, 0, 0, 0
        self.last_actions = [-1, -1, -1]

    def after(self, features: FeatureBatch, at: int) -> dict[str, float]:
        """One row, once this event has happened."""
        item, category, brand = int(features.item[at]), int(features.category[at]), int(features.brand[at])
        action, price = int(features.action[at]), float(features.numerics[at, PRICE])
        gap_s = max(float(features.gap_s[at]), 0.0) if self.events else 0.0
        same_item, same_category = item == self.last_item, category == self.last_category
        self.events += 1
        self.elapsed_s += gap_s
        self.bought += action == PURCHASE
        self.views[item] = self.views.get(item, 0) + 1
        self.categories.add(category)
        self.brands.add(brand)
        self.last_item, self.last_category = item, category
        self.last_actions = [action, *self.last_actions[:2]]
        if not np.isnan(price):
            self.prices.append(price)
        self.since_cart += 1
        if action == CART:
            self.carts += 1
            self.since_cart = 0
            self.cart[item] = price
        elif action == REMOVED:
            self.cart.pop(item, None)
        prices = self.prices or [0.0]
        return {
            "session": float(np.log1p(self.number)),
            "events": float(np.log1p(self.events)),
            "elapsed": float(np.log1p(self.elapsed_s)),
            "gap": float(np.log1p(gap_s)),
            "pace": float(np.log1p(self.elapsed_s / self.events)),
            "items": float(np.log1p(len(self.views))),
            "item_events": float(np.log1p(self.views[item])),
            "most_events": float(np.log1p(max(self.views.values()))),
            "categories": float(np.log1p(len(self.categories))),
            "brands": float(np.log1p(len(self.brands))),
            "same_item": float(same_item),
            "same_category": float(same_category),
            "no_category": float(category == 0),
            "no_brand": float(brand == 0),
            "price": prices[-1],
            "price_mean": float(np.mean(prices)),
            "price_max": max(prices),
            "price_against_mean": prices[-1] - float(np.mean(prices)),
            "carts": float(np.log1p(self.carts)),
            "in_cart": float(np.log1p(len(self.cart))),
            "this_in_cart": float(item in self.cart),
            "since_cart": float(np.log1p(self.since_cart)) if self.carts else 5.0,
            "cart_price": float(np.log1p(np.nansum(np.expm1(list(self.cart.values()))))) if self.cart else 0.0,
            **{
                f"{name}_{back}": float(done == code)
                for back, done in enumerate(self.last_actions)
                for name, code in (("carted", CART), ("removed", REMOVED), ("nothing", -1))
            },
        }


def commonest(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The most frequent known hashes."""
    names, count = np.unique(hashes[hashes != 0], return_counts=True)
    chosen: NDArray[np.uint64] = names[np.argsort(-count, kind="stable")[:COMMON]]
    return chosen
