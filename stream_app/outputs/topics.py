"""Every topic: its name and how it must be set up. Knows no broker."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from stream_app.events import EVENT_TYPES

DAY_MS = 86_400_000
Partitions = Literal["tasks", "one"]


@dataclass(frozen=True)
class TopicSpec:
    """A topic without its prefix. `retention_ms` None: kept until compacted away."""

    name: str
    partitions: Partitions  # "tasks": as many as the inputs; "one": totally ordered
    cleanup: Literal["delete", "compact"]
    retention_ms: int | None = None
    extra: dict[str, str] = field(default_factory=dict)

    def count(self, partitions: int) -> int:
        """Partitions to create where the inputs have `partitions`."""
        return partitions if self.partitions == "tasks" else 1

    @property
    def config(self) -> dict[str, str]:
        """The topic's configuration as the broker takes it."""
        retention = {} if self.retention_ms is None else {"retention.ms": str(self.retention_ms)}
        return {"cleanup.policy": self.cleanup, **retention, **self.extra}


# A refused record of the broker's default limit (1 MiB) must fit again, with its headers.
_ROOMY = {"max.message.bytes": str(2 << 20)}
# Deletions stay for a day: worker/checkpoints.py relies on it.
_QUICK_COMPACTION = {
    "delete.retention.ms": str(DAY_MS),
    "min.cleanable.dirty.ratio": "0.3",
    "segment.bytes": str(64 << 20),
}

TOPICS: tuple[TopicSpec, ...] = (
    *(TopicSpec(name, "tasks", "delete", 7 * DAY_MS) for name in EVENT_TYPES),
    TopicSpec("items", "tasks", "compact"),
    TopicSpec("control", "tasks", "compact"),
    TopicSpec("predictions", "tasks", "delete", 7 * DAY_MS),
    TopicSpec("engagement", "tasks", "delete", 30 * DAY_MS),
    TopicSpec("signals", "tasks", "delete", 30 * DAY_MS),
    TopicSpec("insights", "one", "compact"),
    TopicSpec("late-events", "tasks", "delete", 14 * DAY_MS, _ROOMY),
    TopicSpec("dead-letters", "tasks", "delete", 14 * DAY_MS, _ROOMY),
    TopicSpec("internal.state", "tasks", "compact", extra=_QUICK_COMPACTION),
    TopicSpec("internal.repartition", "tasks", "delete", 7 * DAY_MS, _ROOMY),
    TopicSpec("internal.items", "one", "delete", 90 * DAY_MS),
    TopicSpec("internal.workers", "one", "compact"),
)
"""What `stream-app topics create` makes and `verify` expects."""


@dataclass(frozen=True)
class TopicNames:
    """Full names of all topics under a prefix."""

    prefix: str = "behavior."

    def __getitem__(self, name: str) -> str:
        """Full name of the topic that TOPICS calls `name`; KeyError where there is none."""
        if name not in _NAMES:
            raise KeyError(name)
        return self.prefix + name

    @property
    def inputs(self) -> tuple[str, ...]:
        """In the order of EVENT_TYPES, so that an input's place is its event type's."""
        return tuple(self.prefix + name for name in EVENT_TYPES)

    @property
    def items(self) -> str:
        return self["items"]

    @property
    def control(self) -> str:
        return self["control"]

    @property
    def predictions(self) -> str:
        return self["predictions"]

    @property
    def engagement(self) -> str:
        return self["engagement"]

    @property
    def signals(self) -> str:
        return self["signals"]

    @property
    def workers(self) -> str:
        return self["internal.workers"]

    @property
    def insights(self) -> str:
        return self["insights"]

    @property
    def late_events(self) -> str:
        return self["late-events"]

    @property
    def dead_letters(self) -> str:
        return self["dead-letters"]

    @property
    def state(self) -> str:
        return self["internal.state"]

    @property
    def repartition(self) -> str:
        return self["internal.repartition"]

    @property
    def item_log(self) -> str:
        return self["internal.items"]

    def event_type(self, topic: str) -> str:
        """The event type that an input topic carries; KeyError for any other topic."""
        name = topic.removeprefix(self.prefix)
        if name not in EVENT_TYPES or topic != self.prefix + name:
            raise KeyError(topic)
        return name


_NAMES = frozenset(spec.name for spec in TOPICS)
