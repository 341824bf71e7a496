"""The dead-letter topic: read what is in it, send originals in again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stream_app.dead_letters.letter import Letter
from stream_app.outputs.topics import TopicNames
from stream_app.settings import Settings
from stream_app.transport import admin
from stream_app.transport.loader import Loader
from stream_app.transport.log_reader import LogReader

CHUNK = 500


async def letters(settings: Settings, wanted: Mapping[str, str], *, limit: int | None = None) -> list[Letter]:
    """Those that match, in the order of each partition; all of them without a limit."""
    settings = await admin.settled(settings)
    topic = TopicNames(settings.topics.prefix).dead_letters
    reader = LogReader(settings.broker, [(topic, p) for p in range(settings.topics.partitions)])
    found: list[Letter] = []
    await reader.start()
    try:
        async for chunk in reader.to_end():
            found += [letter for record in chunk if (letter := Letter.of(record)).matches(wanted)]
            if limit is not None and len(found) >= limit:
                return found[:limit]
    finally:
        await reader.stop()
    return found


async def replay(settings: Settings, chosen: Sequence[Letter]) -> None:
    """Send the original records to the topics and partitions that they came from; ids and event times are theirs."""
    loader = Loader(settings.broker)
    await loader.start()
    try:
        for first in range(0, len(chosen), CHUNK):
            await loader.send([letter.original() for letter in chosen[first : first + CHUNK]])
    finally:
        await loader.stop()
