"""What `simulate`, `replay` and `demo` share: sending a stream of records at a pace, with progress."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from stream_app.producers.publish import Encoded, Speed, paced
from stream_app.records import OutputRecord
from stream_app.settings import Settings
from stream_app.transport import admin
from stream_app.transport.loader import Loader


async def send(
    settings: Settings, stream: Iterable[Encoded], speed: Speed, *, sent: Callable[[int], object] = lambda _: None
) -> int:
    """Send the stream to the input topics; `sent` hears of every chunk. Returns the number of records."""
    prefix, total = settings.topics.prefix, 0
    loader = Loader(settings.broker)
    await loader.start()
    try:
        async for chunk in paced(stream, speed, clock=time.monotonic, sleep=asyncio.sleep):
            await loader.send([OutputRecord(prefix + topic, key, value) for topic, key, value, _ in chunk])
            total += len(chunk)
            sent(len(chunk))
    finally:
        await loader.stop()
    return total


def send_with_progress(settings: Settings, stream: Iterator[Encoded], speed: Speed, *, limit: int | None) -> int:
    """`send` with a progress bar on standard error; missing topics are created."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("sent", total=limit)

        async def run() -> int:
            if settings.topics.create:
                whole = await admin.settled(settings)
                await admin.create(whole.broker, admin.plans(whole.topics))
            return await send(settings, islice(stream, limit), speed, sent=lambda n: progress.advance(bar, n))

        return asyncio.run(run())
