"""One Kafka record as the rest of the package sees it; aiokafka's ConsumerRecord has the same attributes."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class RecordLike(Protocol):
    """What decode and the set-aside paths read of a consumed record."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Record(NamedTuple):
    """A consumed record. `timestamp` is Kafka's, epoch milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class OutputRecord(NamedTuple):
    """A record to publish. `topic` is a full topic name; `partition` None means the task's own."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: int | None = None
    partition: int | None = None


class OutputColumns(NamedTuple):
    """Records of one full topic name for the task's own partition, side by side: no object for each."""

    topic: str
    keys: Sequence[bytes]
    values: Sequence[bytes | None]

    def records(self) -> list[OutputRecord]:
        """One by one."""
        return [OutputRecord(self.topic, key, value) for key, value in zip(self.keys, self.values, strict=True)]
