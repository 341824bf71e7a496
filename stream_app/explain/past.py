"""What a user did and was answered, read from the topics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import orjson

from stream_app.audit.answers import identity
from stream_app.errors import StreamAppError
from stream_app.events import EventBatch, decode
from stream_app.outputs.topics import TopicNames
from stream_app.records import RecordLike
from stream_app.settings import Settings
from stream_app.transport import admin
from stream_app.transport.log_reader import LogReader
from stream_app.worker.routing import event_type_of, partition_of

Told = Callable[[str, int], object]
"""Hears which topic is being read and how many more records of it."""


class Past(NamedTuple):
    """One user's predicted events in the order in which they were applied, and the answer to the last of them."""

    prediction: dict[str, Any]
    events: EventBatch
    missing: int
    """Predicted events whose records are gone."""


async def past_of(user: str, settings: Settings, *, told: Told = lambda *_: None) -> Past:
    """From the user's partition of every topic. Raises StreamAppError for a user without a prediction."""
    settings = await admin.settled(settings)
    names = TopicNames(settings.topics.prefix)
    partition = partition_of(user.encode(), settings.topics.partitions)
    answers = await _records(settings, names.predictions, partition, user, told)
    predictions = [orjson.loads(record.value or b"{}") for record in answers]
    if not predictions:
        raise StreamAppError(
            f"no prediction for user {user!r} on {names.predictions}: is the id right, a worker running?"
        )
    places = {identity(one["source"], one["event_id"]): at for at, one in enumerate(predictions)}
    events: dict[int, EventBatch] = {}  # by place, the first copy
    for at, topic in enumerate((*names.inputs, names.repartition)):
        kinds: defaultdict[str, list[RecordLike]] = defaultdict(list)
        for record in await _records(settings, topic, partition, user, told):
            routed = topic == names.repartition
            kinds[event_type_of(record, names) if routed else names.event_type(topic)].append(record)
        for kind, same in kinds.items():
            found = decode(same, event_type=kind, source_input=at).events
            for number, (who, event) in enumerate(zip(found.user.tolist(), found.identity.tolist(), strict=True)):
                place = places.get(event) if who == user.encode() else None
                if place is not None:
                    events.setdefault(place, found.take(np.array([number])))
    if len(predictions) - 1 not in events:
        raise StreamAppError(f"the event behind the last prediction for {user!r} is no longer on its topic")
    return Past(
        predictions[-1], EventBatch.concat([events[place] for place in sorted(events)]), len(places) - len(events)
    )


async def _records(settings: Settings, topic: str, partition: int, user: str, told: Told) -> list[RecordLike]:
    """Those of one user, oldest first."""
    reader = LogReader(settings.broker, [(topic, partition)])
    await reader.start()
    found: list[RecordLike] = []
    try:
        async for chunk in reader.to_end():
            told(topic, len(chunk))
            found += [record for record in chunk if record.key == user.encode()]
    finally:
        await reader.stop()
    return found
