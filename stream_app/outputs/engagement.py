"""`behavior.engagement`: a user's window as consumers read it. Times are RFC 3339 in UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from fusion.columnar_json import Fields, Fixed, Label, Node, Number, Value, rows, whole
from stream_app.events import ACTIONS
from stream_app.outputs.times import rfc3339
from stream_app.signals.complaint import complaint_topics
from stream_app.signals.funnel import STEPS, funnel_step
from stream_app.signals.next_best_action import next_best_action
from stream_app.state.windows import KINDS, PLATFORM_SETS, Final, WindowBatch, ratio


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


def encode_engagement(
    windows: WindowBatch, *, score: NDArray[np.float64], signals: Sequence[list[str]], segments: Sequence[str]
) -> list[bytes]:
    """JSON per window, aligned with `windows`; the record key is `windows.users`.

    `score` (w,) and `signals` are what `stream_app.signals.derive` gave; `segments` names the model's segments by id.
    """
    told, count = windows.rows, {action: windows.count(action) for action in ACTIONS}
    looked = count["view"] + count["click"]
    named = (*segments, None)
    segment = told["scores"]["segment"]
    fields: Mapping[str, Node] = {
        "user_id": Value([user.decode() for user in windows.users]),
        "window": Fields(
            {
                "type": Label(told["kind"], KINDS),
                "start": Value(rfc3339(told["start_ms"])),
                "end": Value(rfc3339(told["end_ms"])),
                "is_final": Fixed(windows.is_final),
            }
        ),
        "revision": whole(windows.revision),
        "supersedes": Value([_superseded(windows.supersedes.get(index, ())) for index in range(len(windows))]),
        "event_time": Value(rfc3339(told["last_ms"])),
        "counts": Fields({action: whole(each) for action, each in zip(ACTIONS, told["counts"].T, strict=True)}),
        "searches": whole(count["search"]),
        "reviews": whole(count["review"]),
        "voice_segments": whole(count["voice"]),
        "dwell_ms": whole(told["dwell_ms"]),
        "unique_products": whole(windows.unique_products()),
        "zero_result_rate": Number(windows.zero_result_rate()),
        "query_reformulations": whole(told["reformulations"]),
        "rage_clicks": whole(told["rage_clicks"]),
        "ctr": Number(windows.ctr()),
        "add_to_cart": whole(count["add_to_cart"]),
        "purchases": whole(count["purchase"]),
        "revenue": Value(windows.revenues()),
        "conversion": Number(np.minimum(ratio(count["purchase"], looked), 1.0)),
        "cart_abandoned": Label(np.array(["cart_abandoned" in names for names in signals], bool), (False, True)),
        "sentiment_mean": Number(windows.sentiment_mean()),
        "platforms": Label(told["platforms"], PLATFORM_SETS),
        "engagement_score": Number(score, digits=1),
        "segment": Label(np.where((segment >= 0) & (segment < len(segments)), segment, len(segments)), named),
        "signals": Value(signals),
        "funnel_step": Label(funnel_step(windows), STEPS),
        "complaint_topics": Value(complaint_topics(windows)),
        "next_best_action": Value(list(map(next_best_action, signals))),
    }
    return rows(Fields(fields), len(windows))


def _superseded(finals: Sequence[Final]) -> list[dict[str, Any]]:
    if not finals:
        return []
    times = [rfc3339(np.array([final.start_ms, final.end_ms])) for final in finals]
    return [
        {"start": start, "end": end, "revision": final.revision}
        for (start, end), final in zip(times, finals, strict=True)
    ]
