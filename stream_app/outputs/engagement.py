"""`behavior.engagement`: a user's window as consumers read it. Times are RFC 3339 in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_app.events import ACTIONS
from stream_app.outputs.times import rfc3339
from stream_app.signals.complaint import complaint_topics
from stream_app.signals.funnel import STEPS, funnel_step
from stream_app.signals.next_best_action import next_best_action
from stream_app.state.windows import KINDS, Final, WindowBatch, ratio


class Window(msgspec.Struct, frozen=True, gc=False):
    """Half-open: `end` is the first instant outside."""

    type: str
    """session or tumbling."""
    start: str
    end: str
    is_final: bool


class Superseded(msgspec.Struct, frozen=True, gc=False):
    """A final record that no longer holds: its window was merged into this one."""

    start: str
    end: str
    revision: int


class Engagement(msgspec.Struct, frozen=True, gc=False):
    """What a user did in a window. Rates are null where there was nothing to divide by."""

    user_id: str
    window: Window
    revision: int
    supersedes: list[Superseded]
    event_time: str
    """Of the latest event."""
    counts: dict[str, int]
    """Per action, all of them."""
    searches: int
    reviews: int
    voice_segments: int
    dwell_ms: int
    unique_products: int
    zero_result_rate: float | None
    """Searches that found nothing per search that said how many it found."""
    query_reformulations: int
    rage_clicks: int
    ctr: float | None
    """Clicks per impression, at most 1."""
    add_to_cart: int
    purchases: int
    revenue: dict[str, float]
    """By ISO 4217 code; XXX where the event named none."""
    conversion: float | None
    """Purchases per view or click, at most 1."""
    cart_abandoned: bool
    sentiment_mean: float | None
    """From -1 to 1, over what was written and said."""
    platforms: list[str]
    engagement_score: float
    """0 to 100, see stream_app.signals.engagement_score."""
    segment: str | None
    signals: list[str]
    funnel_step: str
    """Furthest step: none, seen, looked, wanted, carted or bought."""
    complaint_topics: list[str]
    """Of unhappy texts and calls, the most frequent first."""
    next_best_action: str | None
    """What the signals ask for; null: leave them alone."""


_ENCODE = msgspec.json.Encoder().encode


def encode_engagement(
    windows: WindowBatch, *, score: NDArray[np.float64], signals: Sequence[list[str]], segments: Sequence[str]
) -> list[bytes]:
    """JSON per window, aligned with `windows`; the record key is `windows.users`.

    `score` (w,) and `signals` are what `stream_app.signals.derive` gave; `segments` names the model's segments by id.
    """
    rows, count = windows.rows, {action: windows.count(action) for action in ACTIONS}
    looked = count["view"] + count["click"]
    frames = map(
        Window,
        [KINDS[kind] for kind in rows["kind"].tolist()],
        rfc3339(rows["start_ms"]),
        rfc3339(rows["end_ms"]),
        repeat(windows.is_final),
    )
    everyone = range(len(windows))
    return list(
        map(
            _ENCODE,
            map(
                Engagement,
                [user.decode() for user in windows.users],
                frames,
                windows.revision.tolist(),
                [_superseded(windows.supersedes.get(index, ())) for index in everyone],
                rfc3339(rows["last_ms"]),
                [dict(zip(ACTIONS, each, strict=True)) for each in rows["counts"].tolist()],
                count["search"].tolist(),
                count["review"].tolist(),
                count["voice"].tolist(),
                rows["dwell_ms"].tolist(),
                windows.unique_products().tolist(),
                _rates(windows.zero_result_rate()),
                rows["reformulations"].tolist(),
                rows["rage_clicks"].tolist(),
                _rates(windows.ctr()),
                count["add_to_cart"].tolist(),
                count["purchase"].tolist(),
                [windows.revenue(index) for index in everyone],
                _rates(np.minimum(ratio(count["purchase"], looked), 1.0)),
                ["cart_abandoned" in names for names in signals],
                _rates(windows.sentiment_mean()),
                [windows.platforms(index) for index in everyone],
                score.tolist(),
                [
                    segments[number] if 0 <= number < len(segments) else None
                    for number in rows["scores"]["segment"].tolist()
                ],
                signals,
                [STEPS[step] for step in funnel_step(windows).tolist()],
                complaint_topics(windows),
                map(next_best_action, signals),
            ),
        )
    )


def _rates(figures: NDArray[np.float64]) -> list[float | None]:
    """Four decimals; None for NaN."""
    rounded = np.round(figures, 4).astype(np.object_)
    rounded[np.isnan(figures)] = None
    rates: list[float | None] = rounded.tolist()
    return rates


def _superseded(finals: Sequence[Final]) -> list[Superseded]:
    if not finals:
        return []
    times = [rfc3339(np.array([final.start_ms, final.end_ms])) for final in finals]
    return [Superseded(start, end, final.revision) for (start, end), final in zip(times, finals, strict=True)]
