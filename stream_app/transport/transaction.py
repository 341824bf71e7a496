"""One transactional producer per task: outputs, changelog and input offsets become visible together or not at all."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import IllegalOperation, KafkaConnectionError, KafkaError, NodeNotReadyError, ProducerFenced
from aiokafka.producer.message_accumulator import BatchBuilder

from stream_app.errors import StateError, StreamAppError
from stream_app.loop_thread import LoopThread
from stream_app.records import OutputColumns, OutputRecord
from stream_app.settings import Broker
from stream_app.transport.connection import DENIED, client_options, compression, failure
from stream_app.transport.packing import compress_lightly, pack, pack_columns

T = TypeVar("T")

Packed = list[tuple[str, int, list[BatchBuilder]]]
"""Closed batches per topic and partition."""
BATCH_BYTES = 512 << 10
RETRY_MS = 5
"""Before a question is asked again: most often the transaction before it is still being marked as committed."""
ALIKE = 4
"""Transactions whose partitions the next one is taken to write to: one that it does not costs a marker."""
AWAY_S = 0.1
"""Before anything more is asked of a broker that no connection leads to: one that starts needs the processor itself."""


class TaskProducer:
    """The producer of one task.

    The transactional id is the task's, never the worker's: starting it fences any other holder of the task and ends
    the transaction that one left open (KIP-98; aiokafka sends TxnOffsetCommit without the group's generation).

    It talks to the broker on `thread`, if it is given one: a commit is five questions, and each answer would wait for
    what computes on the loop of the task.
    """

    _producer: AIOKafkaProducer  # from start on

    def __init__(self, broker: Broker, *, group: str, partition: int, thread: LoopThread | None = None) -> None:
        self._broker = broker
        self._group = group
        self._partition = partition
        self._thread = thread
        self._id = f"{group}-task-{partition}"
        self._started = False
        self._turn = asyncio.Lock()
        self._opened = False
        self._written: deque[frozenset[TopicPartition]] = deque(maxlen=ALIKE)  # by the last transactions

    async def start(self) -> None:
        """Fence the previous owner. Raises DependencyError when the broker does not answer."""
        await self._there(self._start())

    async def stop(self) -> None:
        """Close the connection; a transaction left open is ended by the next start."""
        if self._started:
            await self._there(self._producer.stop())

    def pack(self, records: Iterable[OutputRecord], columns: Iterable[OutputColumns] = ()) -> Packed:
        """Records to batches per topic and partition; CPU only. Of one topic, columns come behind records."""
        targets: defaultdict[tuple[str, int], list[OutputRecord]] = defaultdict(list)
        for record in records:
            partition = self._partition if record.partition is None else record.partition
            targets[record.topic, partition].append(record)
        packed = [(topic, number, pack(self._producer, group)) for (topic, number), group in targets.items()]
        now_ms = time.time_ns() // 1_000_000
        for topic, keys, values in columns:
            packed.append((topic, self._partition, pack_columns(self._producer, keys, values, timestamp_ms=now_ms)))
        return packed

    def open(self) -> None:
        """Begin a transaction once the last one is through, for a `commit` that is sure to follow.

        The broker is told, while there is nothing to write yet, of the group and of the partitions that the last ones
        wrote to: two questions of five that `commit` need not wait for.
        """
        if self._thread is None:
            self._opening = asyncio.create_task(self._open())
        else:
            self._thread.begin(self._open())

    async def commit(self, packed: Packed, offsets: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], int]:
        """Publish in one transaction; returns the offset of the first record per topic and partition, -1 unknown.

        After any StateError the state in memory is ahead of the log: end the process.
        """
        return await self._there(self._commit(packed, offsets))

    async def _there(self, work: Coroutine[Any, Any, T]) -> T:
        return await (work if self._thread is None else self._thread.run(work))

    async def _start(self) -> None:
        broker = self._broker
        compress_lightly()
        self._producer = AIOKafkaProducer(
            transactional_id=self._id,
            transaction_timeout_ms=broker.transaction_timeout_ms,
            acks="all",
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
            compression_type=compression(broker),
            retry_backoff_ms=RETRY_MS,
            **client_options(broker),
        )
        _be_patient(self._producer.client)
        self._join_early()
        self._started = True
        try:
            await self._producer.start()
        except KafkaError as error:
            await self._producer.stop()
            raise failure(error, "transactional producer", operation="WRITE", on=self._id) from error

    def _join_early(self) -> None:
        """Let aiokafka 0.14 add the group to a transaction that is opened, before it knows of offsets."""
        manager = self._producer._txn_manager
        asked = manager.consumer_group_to_add

        def group() -> str | None:
            early = self._opened and manager.is_in_transaction() and manager._txn_consumer_group is None
            return self._group if early else asked()

        manager.consumer_group_to_add = group

    async def _commit(self, packed: Packed, offsets: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], int]:
        async with self._turn:
            places = await self._write(packed, offsets)
        self._written.append(frozenset(TopicPartition(*target) for target in places))
        return places

    async def _open(self) -> None:
        async with self._turn:
            manager = self._producer._txn_manager
            if self._opened or manager.is_fatal_error():  # `commit` will meet the error
                return
            await self._producer.begin_transaction()
            self._opened = True
            for place in frozenset().union(*self._written):
                manager.maybe_add_partition_to_txn(place)
            manager.notify_task_waiter()

    async def _write(self, packed: Packed, offsets: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], int]:
        producer = self._producer
        delivered: list[asyncio.Future[Any]] = []
        try:
            if not self._opened:
                await producer.begin_transaction()
            elif (ended := producer._txn_manager.wait_for_transaction_end()).done():
                ended.result()  # what it was opened for was refused
            self._opened = False
            for topic, partition, builders in packed:
                for builder in builders:
                    delivered.append(await producer.send_batch(builder, topic, partition=partition))
            if offsets:
                positions = {TopicPartition(*tp): offset for tp, offset in offsets.items()}
                await producer.send_offsets_to_transaction(positions, self._group)
            await producer.commit_transaction()
            written = [future.result().offset for future in delivered]
        except (KafkaError, IllegalOperation) as error:
            raise self._failure(error, delivered) from error
        places: dict[tuple[str, int], int] = {}
        targets = [(topic, partition) for topic, partition, builders in packed for _ in builders]
        for target, offset in zip(targets, written, strict=True):
            places.setdefault(target, offset)
        return places

    def _failure(self, error: Exception, delivered: Sequence[asyncio.Future[Any]]) -> StreamAppError:
        """What an error means. One that the client met while there was more to send is with what was sent before."""
        for one in delivered:
            one.cancel()
        met = [one.exception() for one in delivered if not one.cancelled()]
        if isinstance(error, IllegalOperation):
            error = next((one for one in met if isinstance(one, Exception)), error)
        if isinstance(error, ProducerFenced):
            return StateError(f"task {self._partition} has another owner")
        if isinstance(error, tuple(DENIED)):
            return failure(error, f"transaction of task {self._partition}", operation="WRITE")
        return StateError(f"transaction of task {self._partition} failed: {error!r}")


def _be_patient(client: AIOKafkaClient) -> None:
    """Make a client of aiokafka 0.14 wait for a broker that is away.

    A request lets AWAY_S pass before it says so, since it is asked again after RETRY_MS. A coordinator is sought again
    where the connection ends under the question, which ends the producer otherwise: so does a broker that is stopped.
    """
    send, lookup = client.send, client.coordinator_lookup

    async def patient(*asked: Any, **more: Any) -> Any:
        try:
            return await send(*asked, **more)
        except NodeNotReadyError:
            await asyncio.sleep(AWAY_S)
            raise

    async def persistent(*asked: Any) -> Any:
        try:
            return await lookup(*asked)
        except KafkaConnectionError as error:
            raise NodeNotReadyError from error

    client.send, client.coordinator_lookup = patient, persistent
