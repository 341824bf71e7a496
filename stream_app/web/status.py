"""Whether a worker is alive and ready, and why not. Only the worker's thread writes; the web thread reads."""

from __future__ import annotations

from collections.abc import Iterable

from stream_app.metrics import Metrics


class Status:
    """Ready = assigned, every assigned task restored, nothing paused, not stopping. Kept in `behavior_ready` too."""

    def __init__(self, metrics: Metrics) -> None:
        self._gauge = metrics.ready
        self._restoring: set[int] | None = None  # None until the first assignment
        self._tasks: set[int] = set()
        self._paused: dict[str, str] = {}
        self.failure = ""
        self._publish()

    def assign(self, partitions: Iterable[int]) -> None:
        """The tasks that this worker now owns; those it did not own before are still to be restored."""
        tasks = set(partitions)
        self._restoring = ((self._restoring or set()) & tasks) | (tasks - self._tasks)
        self._tasks = tasks
        self._publish()

    def restored(self, partition: int) -> None:
        """A task's state is back."""
        (self._restoring or set()).discard(partition)
        self._publish()

    def pause(self, what: str, reason: str) -> None:
        """Something outside (`what`: broker, model, disk, …) is away; `reason` holds no personal text."""
        self._paused[what] = reason
        self._publish()

    def resume(self, what: str) -> None:
        """It is back."""
        self._paused.pop(what, None)
        self._publish()

    def fail(self, reason: str) -> None:
        """The process can only end: no longer alive."""
        self.failure = reason
        self._publish()

    @property
    def reasons(self) -> list[str]:
        """Why the worker is not ready; empty when it is."""
        reasons = [self.failure] if self.failure else []
        reasons += [f"{what}: {reason}" for what, reason in list(self._paused.items())]
        if self._restoring is None:
            reasons.append("waiting for the first assignment")
        elif self._restoring:
            reasons.append(f"restoring tasks {', '.join(map(str, sorted(self._restoring)))}")
        return reasons

    @property
    def ready(self) -> bool:
        """No reason against it."""
        return not self.reasons

    def _publish(self) -> None:
        self._gauge.set(self.ready)
