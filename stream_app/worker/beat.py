"""When a batch that is not full may be taken. Times are seconds of the monotonic clock; knows no inbox."""

from __future__ import annotations

from stream_app.settings import Pipeline


def due_s(settings: Pipeline, *, waiting: int, arrived_s: float, taken_s: float) -> float:
    """At once where `waiting` events are enough; soon after a silence; otherwise at the next beat.

    `waiting`: in all tasks of the worker, which go together so that `Scoring` pays once; `arrived_s`: when this task's
    oldest came; `taken_s`: when its last batch was taken. The beat is everybody's too.
    """
    pace_s = settings.pace_ms / 1000
    if pace_s and waiting >= settings.pace_events:
        return arrived_s
    lingered_s = arrived_s + settings.linger_ms / 1000
    if not pace_s or lingered_s > taken_s + 2 * pace_s:
        return lingered_s
    return max(lingered_s, (taken_s // pace_s + 1) * pace_s)
