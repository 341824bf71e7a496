"""The record-batch transport: Faust's consumer hands on what one fetch brought of one partition as ONE event.

Conductor, Stream and Agent stay stock. Offsets are committed by the task's transaction, never from here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Protocol

import aiokafka
import faust
from aiokafka import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from stream_app.records import RecordLike
from stream_app.settings import Broker
from stream_app.transport.assignor import co_partition_assignor
from stream_app.transport.connection import client_options
from stream_app.transport.eager import begun

log = logging.getLogger(__name__)

MAX_BATCH_RECORDS = 2_000
FEW_PER_S = 300
"""Records a second of which there are so few that small batches wait for their beat."""
QUIET = 4
"""Times as long between turns, and for a fetch that finds nothing, where so few come."""
WAIT_S, FRESH_S = 0.1, 0.015
"""How long a turn waits for anything, and, where much comes, for what was just asked for."""
STALE_S = 0.010
"""Age of an answer, when it is seen, from which on more has come meanwhile."""
Fetched = dict[TP, list[RecordLike]]
"""Records by partition, each in order."""


def size(fetched: Fetched) -> int:
    """Records in it."""
    return sum(map(len, fetched.values()))


class RecordBatch:
    """Records of one partition, in offset order, at least one."""

    __slots__ = ("records", "tp")

    def __init__(self, tp: TP, records: list[RecordLike]) -> None:
        self.tp = tp
        self.records = records


class Owner(Protocol):
    """What the consumer needs of the owner of the tasks."""

    async def assign(self, tps: frozenset[TP]) -> None:
        """Fence, restore and be ready for exactly these input partitions."""

    async def revoke(self, tps: frozenset[TP]) -> None:
        """Commit what was taken, forget what was not; called before the partitions may go elsewhere."""

    def accepts(self, tp: TP) -> bool:
        """Whether the partition's inbox has room."""

    def seen(self, tps: frozenset[TP]) -> dict[TP, int]:
        """Up to where the state has seen each of these partitions."""

    def resume(self, offsets: Mapping[TP, int]) -> None:
        """Told from where the assigned partitions are read on, before anything of them is fetched."""

    def crash(self, error: BaseException) -> None:
        """End the process: the consumer failed."""


class BatchConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread that holds the aiokafka consumer: long polls are short, and assignment is by number."""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:  # noqa: ARG002
        app = self.app
        broker: Broker = app.broker_settings
        return aiokafka.AIOKafkaConsumer(
            client_id=app.conf.broker_client_id,
            group_id=app.conf.id,
            group_instance_id=broker.instance_id or None,
            partition_assignment_strategy=[co_partition_assignor()],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=app.conf.broker_max_poll_records,
            max_poll_interval_ms=3_600_000,  # the loop may restore for long; heartbeats tell whether we live
            max_partition_fetch_bytes=4 << 20,
            fetch_max_wait_ms=broker.fetch_max_wait_ms,
            session_timeout_ms=broker.session_timeout_ms,
            heartbeat_interval_ms=broker.heartbeat_interval_ms,
            rebalance_timeout_ms=60_000,
            isolation_level="read_committed",
            metadata_max_age_ms=60_000,
            **client_options(broker),
        )

    async def leave(self) -> None:
        """Leave the group for good: aiokafka lets the session of a static member run out instead."""
        await self.call_thread(self._leave)

    async def on_thread_stop(self) -> None:
        """Whatever happens to the other services, nobody waits for this member's session to end."""
        await self._leave()
        await super().on_thread_stop()

    async def _leave(self) -> None:
        if self._consumer is not None:
            coordinator = self._consumer._coordinator
            coordinator._group_instance_id = None
            await coordinator.close()

    @property
    def coordinated(self) -> bool:
        """Whether a broker that coordinates the group is known and answers heartbeats."""
        coordinator = self._consumer and self._consumer._coordinator  # neither is there before the start
        return coordinator is not None and coordinator.coordinator_id is not None

    async def ends(self, tps: Iterable[TP]) -> dict[TP, int]:
        """The offset behind the last record of each partition."""
        wanted = [TopicPartition(*tp) for tp in tps]
        found = await self.call_thread(self._ensure_consumer().end_offsets, wanted)
        return {TP(place.topic, place.partition): end for place, end in found.items()}

    def position_and_end(self, tp: TP) -> tuple[int, int] | None:
        """The next offset to hand out and the last stable offset last seen, or None when unknown.

        Read from another thread: two integers that only grow.
        """
        assignment = self._ensure_consumer()._subscription.subscription
        assignment = assignment and assignment.assignment
        state = assignment and assignment.state_value(TopicPartition(*tp))
        if state is None or not state.has_valid_position or state.lso is None:
            return None
        return state.position, state.lso

    async def fresh(self, wanted: frozenset[TP], fetched: Fetched, *waits_s: float) -> float:
        """Add to `fetched` what comes within each of these times; when that was, monotonic.

        aiokafka asks for more as soon as what it has is taken, so that its first answer is as old as the last call:
        what it asks for then is worth a second wait.
        """
        done_s: float = await self.call_thread(self._fresh, wanted, fetched, waits_s)
        return done_s

    async def _fresh(self, wanted: frozenset[TP], fetched: Fetched, waits_s: Sequence[float]) -> float:
        consumer = self._ensure_consumer()
        most = consumer._max_poll_records
        for timeout in waits_s:
            more: Fetched = await self._fetch_records(consumer, wanted, timeout=timeout, max_records=most)
            for tp, records in more.items():
                fetched[tp] = [*fetched.get(tp, ()), *records]
            if not more or size(fetched) >= MAX_BATCH_RECORDS:
                break
        return time.monotonic()

    def hold(self, wait_s: float) -> None:
        """How long the broker is to hold a fetch that finds nothing, from the next one on."""
        self._ensure_consumer()._fetcher._fetch_max_wait_ms = round(wait_s * 1000)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's livelock check reads its own sensors, which count batches here."""


class BatchConsumer(driver.Consumer):  # type: ignore[misc]
    """Hands each agent a RecordBatch as the value of one message; keeps its own account of what is in flight."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._in_flight: defaultdict[TP, deque[tuple[int, int]]] = defaultdict(deque)  # (first, last) offsets
        self.handed: defaultdict[TP, int] = defaultdict(int)  # batches handed on since the last seek
        self._positions = asyncio.Lock()  # of a fetch, which moves them, or of a seek
        self._turned_s = self._next_s = 0.0  # when the last turn was and when the next is, monotonic
        self._again_s: tuple[float, ...] = ()  # what a turn waits for more, once there is something
        self._rebalance = 0  # the number of the last one that began
        self._assigned = -1  # of the last one that said whose the partitions are
        self._sought = -1  # of the last one after which positions were sought: before that nothing may be fetched
        super().__init__(*args, **kwargs)
        self.in_transaction = True  # read_committed high watermarks

    @property
    def owner(self) -> Owner:
        """The owner of the tasks."""
        return self.app.owner  # type: ignore[no-any-return]

    def on_init_dependencies(self) -> list[Any]:
        """Faust's own TransactionManager is not used."""
        return []

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:  # noqa: ARG002 - faust's signature
        """What has come, cut into batches of one partition each."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        if (early_s := self._next_s - time.monotonic()) > 0:
            await self.sleep(early_s)
        wanted = frozenset(tp for tp in self._get_active_partitions() if self.owner.accepts(tp))
        if not self.settled() or not wanted:  # an empty set would mean all
            await self.sleep(0.005)
            return
        async with self._positions:
            if not self.settled():
                return
            rebalance = self._rebalance
            fetched = await self._turn(wanted)
        if not fetched or self.should_stop:
            return
        for tp, records in fetched.items():
            for start in range(0, len(records), MAX_BATCH_RECORDS):
                # what is dropped here is fetched again: perform_seek follows every rebalance, and this fetch
                if not self.settled() or rebalance != self._rebalance:
                    return
                part = records[start : start + MAX_BATCH_RECORDS]
                message = self._to_message(tp, part[-1])
                message.value = RecordBatch(tp, part)
                self._in_flight[tp].append((part[0].offset, part[-1].offset))
                self.handed[tp] += 1
                yield tp, message

    async def _turn(self, wanted: frozenset[TP]) -> Fetched:
        """One fetch, and what has come since; turns are some time apart, so that few fetches bring much."""
        fetched: Fetched = {}
        done_s = await self._thread.fresh(wanted, fetched, WAIT_S, *self._again_s)
        if 0 < size(fetched) < MAX_BATCH_RECORDS and time.monotonic() - done_s > STALE_S:
            await self._thread.fresh(wanted, fetched, FRESH_S, *self._again_s)  # this loop was at work meanwhile
        before_s, self._turned_s = self._turned_s, time.monotonic()
        if (brought := size(fetched)) < MAX_BATCH_RECORDS:
            quiet = brought < FEW_PER_S * (self._turned_s - before_s)
            apart_s = self.app.broker_settings.fetch_max_wait_ms / 1000 * (self.app.quiet if quiet else 1)
            self._thread.hold(apart_s)
            self._again_s = () if quiet else (FRESH_S,)
            self._next_s = self._turned_s + (apart_s if brought else 0)
        return fetched

    def settled(self) -> bool:
        """No rebalance is under way. Faust's own flags say so too early where one begins while the last one ends."""
        return bool(self.flow_active and not self.app.rebalancing and self._sought == self._rebalance)

    async def wait_first(self, *waited: Any, **options: Any) -> Any:
        """As Faust's, but where a batch is handed on or the flow suspended, the first is begun at once: a batch that
        finds its stream with room costs no task.

        Else each batch of a fetch would take several turns of a loop whose turns are as long as batches take.
        """
        first, *others = waited
        if not others or not asyncio.iscoroutine(first):  # Service.wait: of an event, with a result that counts
            return await super().wait_first(*waited, **options)
        rest = begun(first)
        if rest is not None:
            return await super().wait_first(rest, *others, **options)
        for other in others:
            other.close()
        return None

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Offsets inside a batch, compaction and transaction markers are no gap."""

    def _new_offset(self, tp: TP) -> int | None:
        done = self._acked_index[tp]
        queue = self._in_flight[tp]
        offset = None
        while queue and queue[0][1] in done:
            offset = queue.popleft()[1] + 1
        if offset is not None:
            self._acked[tp][:] = [o for o in self._acked[tp] if o >= offset]
            done.intersection_update(self._acked[tp])
        return offset

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:  # noqa: ARG002
        self._committed_offset.update(offsets)  # the task's transaction has committed them
        return True

    def _forget(self, tps: Iterable[TP]) -> None:
        for tp in tps:
            self._in_flight.pop(tp, None)
            self._acked.pop(tp, None)
            self._acked_index.pop(tp, None)
            self.handed.pop(tp, None)

    async def perform_seek(self) -> None:
        """After a rebalance: fence and restore first, only then read the committed offsets and seek."""
        rebalance = self._rebalance
        if self._assigned != rebalance:
            return  # the next one is under way, and seeks
        assigned = frozenset(self.assignment())
        self._forget(assigned)
        try:
            await self.owner.assign(assigned)
            async with self._positions:  # a fetch that began before must not move what is sought here
                if rebalance == self._rebalance:
                    await self._seek_all(assigned)
                    self._sought = rebalance
        except Exception as error:
            self.owner.crash(error)
            raise

    async def _seek_all(self, assigned: frozenset[TP]) -> None:
        await super().perform_seek()
        committed = {tp: self._committed_offset.get(tp) or 0 for tp in assigned}
        ahead = {tp: offset for tp, offset in self.owner.seen(assigned).items() if offset > committed[tp]}
        if ahead:
            ends = await self._thread.ends(ahead)
            anew = [tp for tp in ahead if not committed[tp] and ahead[tp] > ends[tp]]
            ahead = {tp: offset for tp, offset in ahead.items() if tp not in anew}
            if anew:
                named = [f"{tp.topic}/{tp.partition}" for tp in anew]
                log.warning("made anew since the state saw it, read from its beginning", extra={"partitions": named})
        self.owner.resume(committed | ahead)
        if ahead:
            lost = {f"{tp.topic}/{tp.partition}": offset for tp, offset in ahead.items()}
            log.warning("the group's offsets are behind the state, which is read on from", extra={"offsets": lost})
            await self.seek_wait(ahead)
            self._committed_offset.update(ahead)
            self._read_offset.update(ahead)
        fresh = [tp for tp in assigned if not self._committed_offset.get(tp)]
        if fresh:  # stock Faust leaves the position where the fetcher is
            await self._thread.seek_to_beginning(*[TopicPartition(*tp) for tp in fresh])
        for tp in fresh:
            self._read_offset[tp] = None

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """The rebalance has an outcome; `perform_seek` follows."""
        self._assigned = self._rebalance
        await super().on_partitions_assigned(assigned, generation_id)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Stop the flow, then commit what the tasks have taken, before the partitions may go to another worker."""
        self._rebalance += 1
        await super().on_partitions_revoked(revoked)
        self._forget(revoked)
        try:
            await self.owner.revoke(frozenset(revoked))
        except Exception as error:
            self.owner.crash(error)
            raise

    async def leave(self) -> None:
        """Let the group know at once that this worker goes: Faust's own stop comes to that late."""
        await self._thread.leave()

    @property
    def coordinated(self) -> bool:
        """False while the broker is away."""
        return bool(self._thread.coordinated)

    def caught_up(self, tp: TP) -> bool:
        """Whether everything known to be committed on the partition has been handed on."""
        known = self._thread.position_and_end(tp)
        return known is not None and known[0] >= known[1]

    def lag(self, tp: TP) -> int:
        """Records known to be on the partition and not yet handed on."""
        known = self._thread.position_and_end(tp)
        return 0 if known is None else max(known[1] - known[0], 0)


class BatchTransport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with the batch consumer."""

    Consumer = BatchConsumer


class BatchTopic(faust.Topic):  # type: ignore[misc]
    """A topic whose messages already hold a RecordBatch: nothing to decode."""

    async def decode(self, message: Any, *, propagate: bool = False) -> Any:  # noqa: ARG002
        """The event around the batch."""
        return self._create_event(message.key, message.value, headers=None, message=message)


class BootStrategy(faust.App.BootStrategy):  # type: ignore[misc]
    """Consumer and agents only: outputs go through transactions, HTTP through our own server."""

    enable_kafka_producer = False
    enable_web = False


class BatchApp(faust.App):  # type: ignore[misc]
    """A Faust application over the record-batch transport."""

    BootStrategy = BootStrategy
    broker_settings: Broker
    quiet: float
    owner: Owner

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self)


def batch_app(
    name: str, broker: Broker, *, data_dir: str, max_poll_records: int = 8_000, quiet: float = QUIET
) -> BatchApp:
    """The application; set `owner` before it starts. `quiet`: see QUIET."""
    app = BatchApp(
        name,
        broker=f"kafka://{broker.url.split(',')[0]}",
        store="memory://",
        datadir=data_dir,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        stream_wait_empty=False,
        stream_buffer_maxsize=16,
        stream_recovery_delay=0.0,
        broker_max_poll_records=max_poll_records,
        broker_commit_interval=1.0,
        broker_request_timeout=600.0,  # bounds the restore inside perform_seek; requests have their own
        broker_session_timeout=broker.session_timeout_ms / 1000,
        Topic=BatchTopic,
    )
    app.broker_settings, app.quiet = broker, quiet
    return app
