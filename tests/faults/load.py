"""The load under which things break: shoppers at a steady rate, until told that it is enough."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from stream_app.errors import DependencyError
from stream_app.producers.publish import Encoded, encode
from stream_app.producers.simulate import simulate
from stream_app.records import OutputRecord
from stream_app.settings import Settings
from stream_app.transport.loader import Loader

START_MS = 1_700_000_000_000
PIECES_PER_S = 20
RETRY_S = 0.2


@dataclass
class Load:
    """Sends at least `events` records, and goes on while `wanted`; afterwards `rate` no longer matters."""

    settings: Settings
    events: int
    rate: int
    seed: int
    sent: int = 0
    latest_ms: int = START_MS
    wanted: bool = True
    _loader: Loader | None = None

    async def run(self) -> None:
        """Send; a piece that the broker did not take is sent again (what it took of it then comes twice)."""
        stream = self._stream()
        clock = asyncio.get_running_loop().time
        due_s = clock()
        while self.wanted or self.sent < self.events:
            piece = list(itertools.islice(stream, max(1, self.rate // PIECES_PER_S) if self.wanted else 1_000))
            records = [OutputRecord(self.settings.topics.prefix + one.topic, one.key, one.value) for one in piece]
            await self._deliver(records)
            self.sent += len(piece)
            self.latest_ms = max(self.latest_ms, *(one.time_ms for one in piece))
            due_s = max(due_s + 1 / PIECES_PER_S, clock() - 1)
            if self.wanted and due_s > clock():
                await asyncio.sleep(due_s - clock())

    async def stop(self) -> None:
        """Disconnect."""
        if self._loader is not None:
            loader, self._loader = self._loader, None
            await loader.stop()

    async def _deliver(self, records: list[OutputRecord]) -> None:
        while True:
            try:
                if self._loader is None:
                    self._loader = Loader(self.settings.broker)
                    await self._loader.start()
                await self._loader.send(records)
            except DependencyError:
                await self.stop()
                await asyncio.sleep(RETRY_S)
            else:
                return

    def _stream(self) -> Iterator[Encoded]:
        return itertools.starmap(encode, simulate(users=600, seed=self.seed, start_ms=START_MS, images=False))
