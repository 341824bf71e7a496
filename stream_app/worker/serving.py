"""What the HTTP surface answers from: last predictions, merged insights, the catalogue, and whose state lives where.

Answers are given on the web server's loop. What they read here is replaced or copied whole, never half written; a
user's state is read between two changes of it.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec
import numpy as np
import orjson

from fusion.recommender import ItemIndex
from stream_app.catalogue.shelf import Shelf
from stream_app.insights.part import Part, merge
from stream_app.outputs.topics import TopicNames
from stream_app.records import OutputColumns, RecordLike
from stream_app.signals import SIGNALS
from stream_app.transport.log_reader import LogReader
from stream_app.worker.pipeline import Pipeline
from stream_app.worker.recent import Recent
from stream_app.worker.routing import partition_of

USERS, PREDICTIONS = 20_000, 5
"""Remembered: the last predictions of the latest users; the rest come back with their next event."""
WINDOWS = 48
"""Windows of insights kept."""
MEANINGS = {name: inspect.getdoc(signal) for name, signal in SIGNALS.items()}
FACTS = ("title", "category", "brand", "price", "currency")
_PART = msgspec.json.Decoder(Part).decode
Described = tuple[dict[str, Any], list[bytes]]
"""A user's state and last predictions, the newest first."""


class Serving:
    """Owned by the worker's loop. `pipelines` gives those of this worker's tasks, by number."""

    def __init__(
        self,
        reader: LogReader,
        names: TopicNames,
        pipelines: Callable[[], Mapping[int, Pipeline]],
        *,
        index: ItemIndex,
        shelf: Shelf,
        photo: Callable[[str], Coroutine[Any, Any, bytes | None]],
    ) -> None:
        self._index, self._shelf, self._photo = index, shelf, photo
        self._reader, self._names, self._pipelines = reader, names, pipelines
        self._loop = asyncio.get_running_loop()
        self._partitions = 1  # until the broker has said how many
        self._last = Recent(USERS, PREDICTIONS)
        self._parts: dict[bytes, Part] = {}
        self._merged: dict[tuple[str | None, int, int], list[Part]] = {}  # of the present parts
        self._urls: dict[int, str] = {}
        self._follower: asyncio.Task[None] | None = None

    async def start(self, crash: Callable[[BaseException], None], *, partitions: int) -> None:
        """Catch up with insights and owners, then follow; `partitions` of the inputs."""
        self._partitions = partitions
        await self._reader.start()
        async for chunk in self._reader.to_end():
            self._take_in(chunk)
        self._follower = asyncio.create_task(self._follow(crash), name="serving")

    async def stop(self) -> None:
        """End."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.wait([self._follower])
        await self._reader.stop()

    def remember(self, columns: Iterable[OutputColumns]) -> None:
        """Committed records: the predictions among them."""
        for topic, keys, values in columns:
            if topic == self._names.predictions:
                self._last.add((key, value) for key, value in zip(keys, values, strict=True) if value is not None)

    async def user(self, user: str) -> Mapping[str, Any] | None:
        """State, windows with what they say, last predictions (JSON) and why; None where they are not known here."""
        if (described := self._describe(user)) is None:
            return None
        found, values = described
        fired = dict.fromkeys(name for window in found["windows"] for name in window["signals"])
        why = {
            "modalities": orjson.loads(values[0])["modalities"] if values else None,
            "signals": {name: MEANINGS[name] for name in fired},
        }
        return {**found, "history": self._named(found["history"]), "predictions": values, "why": why}

    async def recommendations(self, user: str) -> Mapping[str, Any] | None:
        """Those of the last prediction, else what is trending; None where this worker does not know the user."""
        key = user.encode()
        if (pipe := self._pipelines().get(partition_of(key, self._partitions))) is None:
            return None
        if held := self._last.of(key):
            last = orjson.loads(held[0])
            made = {name: last[name] for name in ("prediction_id", "event_time", "model")}
            return {
                "user_id": user,
                "source": "prediction",
                **made,
                "items": self._listed(last["outputs"].get("recommendations", [])),
            }
        if key not in pipe.state:
            return None
        trends = next((part.cells for part in self.insights("trending_items") if part.cells), [])[:10]
        items = [{"product_id": cell.key, "score": None, "rank": at} for at, cell in enumerate(trends, start=1)]
        return {"user_id": user, "source": "trending", "items": self._listed(items)}

    def insights(self, metric: str | None = None, windows: int = 1, top: int = 20) -> list[Part]:
        """Merged over all tasks, newest window first; `windows` of each metric."""
        merged, asked = self._merged, (metric, windows, top)
        if (found := merged.get(asked)) is None:
            chosen = [part for part in list(self._parts.values()) if metric in (None, part.metric)]
            starts = sorted({part.window.start for part in chosen}, reverse=True)[:windows]
            found = merged[asked] = merge((part for part in chosen if part.window.start in starts), top=top)
        return found

    def items(self, products: Iterable[str]) -> list[dict[str, Any]]:
        """What the catalogue says of products."""
        return self._listed([{"product_id": product} for product in products])

    async def photo(self, product: str) -> bytes | None:
        """A small JPEG; None where the catalogue has no photo."""
        listing = self._shelf.get(product)
        if listing is None or not listing.pictured:
            return None
        if (held := self._shelf.photo(product, listing.place)) is not None:
            return held or None
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._photo(product), self._loop))

    def owner(self, user: str) -> str | None:
        """Address of the worker that has the user's state, as far as is known."""
        return self._urls.get(partition_of(user.encode(), self._partitions))

    def _describe(self, user: str) -> Described | None:
        pipe = self._pipelines().get(partition_of(user.encode(), self._partitions))
        found = None if pipe is None else pipe.describe(user)
        return None if found is None else (found, self._last.of(user.encode()))

    def _listed(self, items: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """With what the catalogue says, and where to ask for the photo."""
        listed = []
        chosen = list(items)
        self._shelf.touch(item["product_id"] for item in chosen)
        for item in chosen:
            product = item["product_id"]
            if (listing := self._shelf.get(product)) is None:
                listed.append({**item})
                continue
            facts = {name: getattr(listing, name) for name in FACTS}
            photo = f"/v1/photos/{quote(product, safe='')}" if listing.pictured else None
            listed.append({**item, **facts, "photo": photo})
        return listed

    def _named(self, history: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """With product ids where the index knows them; the device thread may be writing it, which only costs a name."""
        hashes = np.array([int(step["item"] or "0", 16) for step in history], np.uint64)
        products = [self._index.products[row] if row >= 0 else None for row in self._index.rows(hashes).tolist()]
        return [{**step, "product": product} for step, product in zip(history, products, strict=True)]

    async def _follow(self, crash: Callable[[BaseException], None]) -> None:
        try:
            while True:
                self._take_in(await self._reader.fetch(timeout_ms=1_000))
        except Exception as error:
            crash(error)

    def _take_in(self, records: Sequence[RecordLike]) -> None:
        if not records:
            return
        for record in records:
            key, value = record.key or b"", record.value or b""
            if record.topic == self._names.workers:
                self._urls[int(key)] = value.decode()
            elif value:
                self._parts[key] = _PART(value)
            else:
                self._parts.pop(key, None)
        starts = {part.window.start for part in self._parts.values()}
        if len(starts) > WINDOWS:
            oldest = sorted(starts)[-WINDOWS]
            self._parts = {key: part for key, part in self._parts.items() if part.window.start >= oldest}
        self._merged = {}
