"""When a batch that is not full may be taken. Times are seconds of the monotonic clock; knows no inbox."""

from __future__ import annotations

from stream_app.settings import Pipeline

GOLDEN = (5**0.5 - 1) / 2


def due_s(
    settings: Pipeline, *, waiting: int, arrived_s: float, taken_s: float, rested_s: float = 0.0, phase: float = 0.0
) -> float:
    """Once the worker has rested where `waiting` events are enough; soon after a silence; otherwise at the next beat.

    `waiting`: in all tasks of the worker, which go together so that `Scoring` pays once; `arrived_s`: when this task's
    oldest came; `taken_s`: when its last batch was taken; `rested_s`: see `rested_s`. The beat is everybody's too, at
    `phase` (0..1) of the clock's.
    """
    pace_s = settings.pace_ms / 1000
    if pace_s and waiting >= settings.pace_events:
        return max(arrived_s, rested_s)
    lingered_s = arrived_s + settings.linger_ms / 1000
    if not pace_s or lingered_s > taken_s + 2 * pace_s:
        return lingered_s
    return max(lingered_s, ((taken_s / pace_s - phase) // 1 + 1 + phase) * pace_s)


def rested_s(settings: Pipeline, *, taken_s: float, done_s: float) -> float:
    """When a worker that took a small batch then and was done with it then may take the next.

    A share of the time for the broker and for events to gather: back to back, small batches fill a machine with
    transactions, each of them waits for the others, and the latency is worse than that of fewer and larger ones.
    """
    return taken_s + (done_s - taken_s) / settings.pace_share


def phase_of(number: int) -> float:
    """Of the beat of a worker whose lowest task that is: far from each other's, so that workers of one machine take
    turns (multiples of the golden ratio, Knuth, The Art of Computer Programming, 6.4)."""
    return number * GOLDEN % 1
