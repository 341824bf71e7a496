"""When a batch that is not full may be taken. Times are seconds of the monotonic clock; knows no inbox."""

from __future__ import annotations

from stream_app.settings import Pipeline


def due_s(settings: Pipeline, *, waiting: int, arrived_s: float, taken_s: float) -> float:
    """Soon after a silence; otherwise once `waiting` events are enough, or at the next beat.

    `arrived_s`: when the oldest of them came; `taken_s`: when the last batch was taken. All tasks keep the same beat,
    so that their batches meet in `Scoring`.
    """
    lingered_s, pace_s = arrived_s + settings.linger_ms / 1000, settings.pace_ms / 1000
    if waiting >= settings.pace_events or not pace_s or lingered_s > taken_s + 2 * pace_s:
        return lingered_s
    return max(lingered_s, (taken_s // pace_s + 1) * pace_s)
