"""Which events may enter the state, and where a batch has to be cut. Knows no users and no windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_app.events import EventBatch
from stream_app.state.clock import Clock
from stream_app.state.identities import Identities
from stream_app.state.runs import Ints
from stream_app.state.settings import StateSettings

Published = Callable[[list[bytes], Ints, Ints], NDArray[np.bool_]]
"""Which events (user, time) lie in a session of the state that ended by the watermark before them."""
ACCEPTED, DUPLICATE, LATE, FUTURE, PARTIAL = range(5)
VERDICTS = ("accepted", "duplicate", "late", "future", "partial")
"""Names of the codes in `Admission.verdict`."""


@dataclass(frozen=True)
class Segment:
    """Accepted events to apply in one go, after closing what the watermark has passed."""

    index: NDArray[np.int64]  # positions in the admitted batch
    watermark_ms: int  # before its first event


@dataclass(frozen=True)
class Admission:
    """The answer to n events. A worker that applies segment after segment gets the same finals for any batch limit."""

    verdict: NDArray[np.uint8]  # (n,) index into VERDICTS
    watermark_ms: NDArray[np.int64]  # (n,) before each event
    watermark_after_ms: int
    cuts: list[int]  # positions of accepted events before which windows have to be closed
    segments: list[Segment]


def admit(
    events: EventBatch,
    now_ms: int,
    *,
    clock: Clock,
    identities: Identities,
    settings: StateSettings,
    sweep_ms: int,
    published: Published,
) -> Admission:
    """Judge the events in their order; the clock moves on and the accepted are remembered."""
    times = events.event_time_ms
    future = ~events.partial & (times > now_ms + settings.future_ms)
    eligible = ~(events.partial | future)
    swept_ms = clock.watermark_ms
    line = clock.advance(events.source_input, times, eligible, now_ms)
    before = line[:-1]
    due_ms = times - times % settings.tumbling_ms + settings.tumbling_ms
    forget_ms = due_ms + settings.grace_ms
    late = forget_ms <= before
    acceptable = eligible & ~late
    repeated = identities.repeated(events.identity, forget_ms, before, acceptable)
    verdict = np.zeros(len(times), np.uint8)
    verdict[late] = LATE
    verdict[repeated] = DUPLICATE
    verdict[future] = FUTURE
    verdict[events.partial] = PARTIAL
    accepted = np.flatnonzero(verdict == ACCEPTED)
    identities.add(events.identity[accepted], forget_ms[accepted])
    marks = before[accepted]
    days = np.concatenate(([swept_ms], marks)) // sweep_ms  # users past their time are freed at day boundaries
    cut = (due_ms[accepted] <= marks) | (days[1:] > days[:-1])
    behind = np.flatnonzero(~cut & (times[accepted] < marks))  # its tumbling window is open; is its session?
    if len(behind):
        at, mark = accepted[behind], marks[behind]
        begun_here = mark - settings.session_gap_ms >= times[accepted].min()
        cut[behind] = begun_here | published(events.user[at].tolist(), times[at], mark)
    cuts = np.flatnonzero(cut)
    return Admission(verdict, before, int(line[-1]), accepted[cuts].tolist(), _segments(accepted, marks, cuts))


def _segments(accepted: NDArray[np.int64], marks: NDArray[np.int64], cuts: NDArray[np.int64]) -> list[Segment]:
    if not len(accepted):
        return []
    starts = np.union1d([0], cuts)
    pieces = np.split(accepted, starts[1:])
    return [Segment(piece, int(marks[at])) for piece, at in zip(pieces, starts.tolist(), strict=True)]
