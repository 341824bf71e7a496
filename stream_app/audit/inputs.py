"""Input records of one partition, decoded as the worker decodes them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from stream_app.events import EventBatch, Rejected, decode
from stream_app.outputs.topics import TopicNames
from stream_app.records import RecordLike
from stream_app.worker.routing import event_type_of


def decoded(
    topic: str, records: Sequence[RecordLike], *, names: TopicNames, at: int
) -> tuple[EventBatch, list[Rejected]]:
    """The events in offset order, and what is none; at least one record. The repartition topic carries every type."""
    kinds: defaultdict[str, list[RecordLike]] = defaultdict(list)
    if topic != names.repartition:
        kinds[names.event_type(topic)] = list(records)
    else:
        for record in records:
            kinds[event_type_of(record, names)].append(record)
    parts = [decode(same, event_type=kind, source_input=at) for kind, same in kinds.items()]
    events = EventBatch.concat([part.events for part in parts])
    if len(parts) > 1:
        events = events.take(np.argsort(events.offset, kind="stable"))
    return events, [one for part in parts for one in part.rejected]
