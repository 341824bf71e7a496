"""What the windows look like to their readers: the row layout and the batch. Knows no table and no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_app.events import ACTIONS, PLATFORMS
from stream_app.state.complaints import TOPICS

SESSION, TUMBLING = 0, 1
KINDS = ("session", "tumbling")
"""What `kind` indexes."""
PLATFORM_SETS = tuple(
    tuple(name for bit, name in enumerate(PLATFORMS) if mask >> bit & 1) for mask in range(1 << len(PLATFORMS))
)
"""What `platforms` indexes: the names of each mask."""

NO_CURRENCY = int.from_bytes(b"XXX", "little")
"""ISO 4217's code for none: amounts without a currency, and those of a fifth and later currency of a window."""
CURRENCIES = 4
EVER = 1 << 62
"""Beyond every event time; -EVER is before every event time."""
SKETCH = 64
"""Item hashes kept per window: unique products are exact up to here."""
MONEY = 10_000
"""Units per unit of currency in the revenue columns."""
SENTIMENT = 1_000_000
"""Units per 1.0 in `sentiment_sum`: whole numbers, so that the order of addition changes nothing."""

COMPLAINTS = tuple(f"complaint_{topic}" for topic in TOPICS)
"""Columns of unhappy texts that name a topic."""
SUMS = (
    "dwell_ms",
    "known_searches",  # searches with total_results given
    "zero_results",  # of these, those that found nothing
    "reformulations",  # see sequences.reformulated
    "rage_clicks",  # see sequences.raging
    "answered_searches",  # see sequences.answered
    "sentiment_sum",  # of the scores given to carry, in 1/SENTIMENT
    "sentiment_count",
    "contradictions",  # see opinions
    "sentiment_falls",
    *COMPLAINTS,
    "revenue_other",  # in NO_CURRENCY, 1/MONEY
)

SCORES = np.dtype([("purchase", "f4"), ("churn", "f4"), ("anomaly", "f4"), ("segment", "i4")])
"""The model's last word; NaN and -1 before there is one."""

WINDOW = np.dtype(
    [
        ("start_ms", "i8"),  # first event (session) or boundary (tumbling)
        ("end_ms", "i8"),  # exclusive: last event + gap (session) or next boundary (tumbling)
        ("first_ms", "i8"),  # earliest event time
        ("last_ms", "i8"),  # latest event time
        ("counts", "i8", (len(ACTIONS),)),  # per action
        *((name, "i8") for name in SUMS),
        ("platforms", "i8"),  # bit mask over PLATFORMS
        ("currency", "u4", (CURRENCIES,)),  # codes as in EventBatch.currency, ascending, then zeros
        ("revenue", "i8", (CURRENCIES,)),  # price x quantity of purchases, 1/MONEY
        ("scores", SCORES),  # of the last applied event of the window
        ("emitted_start_ms", "i8"),  # of the last final record
        ("emitted_end_ms", "i8"),
        ("revision", "i4"),  # final records so far
        ("product_count", "i4"),  # distinct products; SKETCH + 1 once there are more than SKETCH
        ("kind", "u1"),  # index into KINDS
        ("dirty", "u1"),  # changed since the last final record
        ("", "u1", (6,)),
        ("owner", "i4"),  # row in the user table
        ("next", "i4"),  # the owner's next window, -1 at the end
        ("kth_product", "u8"),  # the SKETCHth smallest hash of a product, once there are more
    ]
)


class Final(NamedTuple):
    """A final record that was published."""

    start_ms: int
    end_ms: int
    revision: int


@dataclass(frozen=True)
class WindowBatch:
    """w windows as they are now, copied. Columns by name: `batch.rows["dwell_ms"]`, see WINDOW."""

    rows: NDArray[np.void]  # (w,) WINDOW
    users: list[bytes]  # (w,) user ids
    is_final: bool  # all of one kind
    revision: NDArray[np.int64]  # (w,) 0 for updates on the way, 1 for the final record, then corrections
    supersedes: Mapping[int, tuple[Final, ...]] = field(default_factory=dict)
    """By position: finals under another (start, end) that this one replaces. Same (start, end): the revision does."""

    def __len__(self) -> int:
        return len(self.rows)

    def count(self, *actions: str) -> NDArray[np.int64]:
        """(w,) events with one of these actions."""
        first, *more = (self.rows["counts"][:, ACTIONS.index(action)] for action in actions)
        total: NDArray[np.int64] = sum(more, start=first)
        return total

    def events(self) -> NDArray[np.int64]:
        """(w,) events of all actions."""
        total: NDArray[np.int64] = self.rows["counts"].sum(axis=1)
        return total

    def unique_products(self) -> NDArray[np.int64]:
        """(w,) distinct products: exact up to SKETCH, then (k-1)/kth minimum (Bar-Yossef et al. 2002)."""
        count = self.rows["product_count"].astype(np.int64)
        many = np.flatnonzero(count > SKETCH)
        kth = self.rows["kth_product"][many].astype(np.float64) / 2.0**64
        count[many] = np.rint((SKETCH - 1) / kth)
        return count

    def ctr(self) -> NDArray[np.float64]:
        """(w,) clicks per impression, at most 1; NaN without impressions."""
        return np.minimum(ratio(self.count("click"), self.count("impression")), 1.0)

    def zero_result_rate(self) -> NDArray[np.float64]:
        """(w,) share of searches that found nothing; NaN where none said what it found."""
        return ratio(self.rows["zero_results"], self.rows["known_searches"])

    def sentiment_mean(self) -> NDArray[np.float64]:
        """(w,) mean of the scores given to carry; NaN where there are none."""
        return ratio(self.rows["sentiment_sum"], self.rows["sentiment_count"]) / SENTIMENT

    def revenue(self, index: int) -> dict[str, float]:
        """One window's revenue by currency code; XXX holds what has no slot or no code."""
        row = self.rows[index]
        slots = zip(row["currency"].tolist(), row["revenue"].tolist(), strict=True)
        amounts = {code(packed): amount / MONEY for packed, amount in slots if packed}
        if row["revenue_other"]:
            amounts[code(NO_CURRENCY)] = int(row["revenue_other"]) / MONEY
        return amounts

    def revenues(self) -> list[dict[str, float]]:
        """All windows' revenue; most have none."""
        found: list[dict[str, float]] = [{}] * len(self.rows)
        for index in np.flatnonzero(self.rows["currency"].any(axis=1) | (self.rows["revenue_other"] != 0)).tolist():
            found[index] = self.revenue(index)
        return found

    def platforms(self, index: int) -> list[str]:
        """One window's platforms, in the order of PLATFORMS."""
        return list(PLATFORM_SETS[int(self.rows["platforms"][index])])


def ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """part / whole, NaN where the whole is 0."""
    shares = np.full(len(whole), np.nan)
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares


def code(packed: int) -> str:
    """The currency code of an EventBatch.currency value."""
    return packed.to_bytes(4, "little").rstrip(b"\0").decode("ascii")


def blank_window() -> NDArray[Any]:
    """() WINDOW: a window without events."""
    row = np.zeros((), WINDOW)
    row["first_ms"], row["last_ms"] = EVER, -EVER
    row["scores"] = blank_scores()
    row["next"] = -1
    return row


def blank_scores() -> NDArray[Any]:
    """() SCORES: no prediction yet."""
    return np.array((np.nan, np.nan, np.nan, -1), SCORES)
