"""Two counts of the same stream that share no code: the pipeline's windows and the recount agree."""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import orjson
import pytest

from stream_app.events import EVENT_TYPES, EventBatch, decode
from stream_app.outputs.engagement import encode_engagement
from stream_app.producers.account import accepted
from stream_app.producers.publish import encode
from stream_app.producers.recount import compare_windows, recount
from stream_app.producers.simulate import simulate
from stream_app.records import Record
from stream_app.state import LATE, StateSettings, TaskState, WindowBatch

START_MS = 1_750_000_000_000
SETTINGS = StateSettings()


def arrived(*, disorder_ms: int) -> list[Record]:
    """Records of all four topics; the offset is the place in the order of arrival."""
    stream = simulate(
        users=60,
        seed=4,
        start_ms=START_MS,
        events=12_000,
        disorder=0.2,
        disorder_ms=disorder_ms,
        images=False,
        activity=4,
    )
    encoded = (encode(*item) for item in stream)
    return [Record(e.topic, 0, at, e.time_ms, e.key, e.value) for at, e in enumerate(encoded)]


def events_of(records: list[Record]) -> EventBatch:
    by_type: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_type[record.topic].append(record)
    parts = [
        decode(by_type[name], event_type=name, source_input=place).events
        for place, name in enumerate(EVENT_TYPES)
        if by_type[name]
    ]
    both = EventBatch.concat(parts)
    return both.take(np.argsort(both.offset))


def finals_of(records: list[Record], late: list[Record]) -> Iterator[WindowBatch]:
    """Final windows of one task that takes the records in the order of arrival; fills `late`."""
    state = TaskState(SETTINGS, carried=np.dtype([("none", "i1")]), history=4)
    for begin in range(0, len(records), 700):
        batch = records[begin : begin + 700]
        events = events_of(batch)
        admission = state.admit(events, now_ms=max(r.timestamp for r in batch))
        late += [batch[at]._replace(topic="late-events") for at in np.flatnonzero(admission.verdict == LATE)]
        for segment in admission.segments:
            yield state.close(segment.watermark_ms)
            state.update(events.take(segment.index))
        yield state.close()
    yield state.close(1 << 60)


@pytest.mark.parametrize("disorder_ms", [0, 5_000, 60_000, 900_000])
def test_the_pipelines_finals_are_those_of_the_recount(disorder_ms: int) -> None:
    records, late = arrived(disorder_ms=disorder_ms), list[Record]()
    finals = []
    for windows in finals_of(records, late):
        none: list[list[str]] = [[] for _ in range(len(windows))]
        encoded = encode_engagement(windows, score=np.zeros(len(windows)), signals=none, segments=[])
        finals += [orjson.loads(value) for value in encoded]
    assert bool(late) is (disorder_ms > 65_000)
    assert compare_windows(finals, recount(accepted(records, late), SETTINGS)) == []
    assert len(finals) > 1_000  # the comparison had something to compare
