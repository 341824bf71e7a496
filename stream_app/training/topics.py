"""The recorded topics of a broker as a finished stream."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stream_app.errors import DependencyError
from stream_app.events import EventBatch, decode
from stream_app.outputs.topics import TopicNames
from stream_app.settings import Settings
from stream_app.training.logs import Log, admitted, of_people
from stream_app.transport import admin
from stream_app.transport.log_reader import LogReader

Told = Callable[[str, int], object]
"""Hears which topic is being read and how many more records of it."""


async def recorded(settings: Settings, *, told: Told = lambda *_: None) -> Log:
    """All input topics, decoded and admitted as the worker does, merged by event time.

    Raises DependencyError where nothing readable is recorded.
    """
    settings = await admin.settled(settings)
    names = TopicNames(settings.topics.prefix)
    parts: list[EventBatch] = []
    for at, topic in enumerate(names.inputs):
        reader = LogReader(settings.broker, [(topic, p) for p in range(settings.topics.partitions)])
        await reader.start()
        try:
            async for chunk in reader.to_end():
                told(topic, len(chunk))
                if chunk:
                    parts.append(decode(chunk, event_type=names.event_type(topic), source_input=at).events)
        finally:
            await reader.stop()
    parts = [part for part in parts if len(part)]
    if not parts:
        raise DependencyError(f"no events in the topics {', '.join(names.inputs)}: there is nothing to learn from")
    events = EventBatch.concat(parts)
    return of_people(admitted(events.take(np.argsort(events.event_time_ms, kind="stable"))))
