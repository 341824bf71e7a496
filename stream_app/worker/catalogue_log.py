"""Keeps the shelf as the items topic says, and hands its bad records to the tasks that set them aside."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Sequence

from stream_app.catalogue.item import read
from stream_app.catalogue.photo import thumbnail
from stream_app.catalogue.shelf import Place, Shelf
from stream_app.errors import EventError
from stream_app.metrics import Metrics
from stream_app.records import RecordLike
from stream_app.settings import Broker
from stream_app.transport.log_reader import LogReader
from stream_app.worker.refusals import Refusals

SLICE = 100
"""Records read before others have their turn."""
WAIT_MS = 500
"""How long the broker may hold a fetch: nobody is in a hurry."""
REMEMBERED = 100_000
"""Offsets of bad records per partition; those before are with the task or were lost to memory."""


class CatalogueLog:
    """Reads all partitions from the beginning, beside the work; `finder` reads a record again when its photo or its
    fault is wanted. Everything on the event loop."""

    def __init__(
        self,
        shelf: Shelf,
        metrics: Metrics,
        crash: Callable[[BaseException], None],
        *,
        refusals: Callable[[int], Refusals | None],
    ) -> None:
        self._shelf, self._metrics, self._crash, self._refusals = shelf, metrics, crash, refusals
        self._bad: defaultdict[int, list[int]] = defaultdict(list)  # partition → offsets
        self._finding = asyncio.Lock()
        self._topic = ""
        self._reader: LogReader | None = None
        self._finder: LogReader | None = None
        self._follower: asyncio.Task[None] | None = None

    async def start(self, broker: Broker, topic: str, partitions: int) -> None:
        """Connect, and follow from the beginning; nobody waits for the end."""
        self._topic, places = topic, [(topic, number) for number in range(partitions)]
        self._reader = LogReader(broker, places, wait_ms=WAIT_MS)
        self._finder = LogReader(broker, places)
        await self._reader.start()
        await self._finder.start(paused=True)
        self._follower = asyncio.create_task(self._follow(self._reader), name="catalogue-log")

    async def stop(self) -> None:
        """End."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.wait([self._follower])
        for reader in filter(None, (self._reader, self._finder)):
            await reader.stop()

    async def photo(self, product: str) -> bytes | None:
        """The item's photo, small: as held, else from its record. None where there is none."""
        listing = self._shelf.get(product)
        if listing is None or not listing.pictured:
            return None
        async with self._finding:
            if (held := self._shelf.photo(product, listing.place)) is not None:
                return held or None
            record = await self._find(listing.place)
            item = read(record)[1] if record is not None else None
        data = item.image.data if item is not None and item.image is not None else None
        small = await asyncio.to_thread(thumbnail, data) if data else None
        self._shelf.keep(product, listing.place, small or b"")
        return small

    async def _follow(self, reader: LogReader) -> None:
        try:
            while True:
                records = await reader.fetch(timeout_ms=1_000)
                for first in range(0, len(records), SLICE):
                    self._take_in(records[first : first + SLICE])
                    await asyncio.sleep(0)
                await self._hand_over()
        except Exception as error:
            self._crash(error)

    def _take_in(self, records: Sequence[RecordLike]) -> None:
        for record in records:
            try:
                product, item = read(record)
            except EventError:
                bad = self._bad[record.partition]
                bad.append(record.offset)
                del bad[:-REMEMBERED]
            else:
                self._shelf.put(product, item, (record.partition, record.offset))
        self._metrics.catalogue.set(len(self._shelf))

    async def _hand_over(self) -> None:
        """Bad records to the tasks of this worker, some at a time."""
        for partition, offsets in self._bad.items():
            if (refusals := self._refusals(partition)) is None:
                continue
            for offset in offsets[bisect_left(offsets, refusals.position) :][:SLICE]:
                async with self._finding:
                    record = await self._find((partition, offset))
                if record is not None:  # else compacted away: another record says what holds
                    try:
                        read(record)
                    except EventError as error:
                        refusals.add(record, error)

    async def _find(self, place: Place) -> RecordLike | None:
        return None if self._finder is None else await self._finder.find(self._topic, *place)
