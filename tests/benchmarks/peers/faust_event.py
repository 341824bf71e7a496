"""Faust as its guide has it: an agent over single events, a tumbling table with a changelog."""

import faust
from work import ACTIONS, BROKER, FOLDER, NAME, OUTPUT, PARTITIONS, SIZE_MS, SOURCE, add, answer, start_of

app = faust.App(
    NAME, broker=f"kafka://{BROKER}", store="memory://", topic_partitions=PARTITIONS, web_enabled=False,
    consumer_auto_offset_reset="earliest", datadir=FOLDER,
)  # fmt: skip


class Click(faust.Record, serializer="json", validation=True):
    """A click."""

    event_id: str
    user_id: str
    item_id: str
    event_time: int
    type: str
    dwell_ms: int


def seconds(event=None):
    """Event time of the current event, seconds."""
    current = event if event is not None else faust.current_event()
    return current.value.event_time / 1000


clicks = app.topic(SOURCE, key_type=str, key_serializer="raw", value_type=Click)
output = app.topic(OUTPUT, partitions=PARTITIONS, key_serializer="raw", value_serializer="json")
windows = (
    app.Table("windows", partitions=PARTITIONS, default=lambda: [0, 0, 0, 0])
    .tumbling(SIZE_MS // 1000, expires=3600)
    .relative_to(seconds)
)


@app.agent(clicks)
async def count(stream):
    async for click in stream:
        if click.dwell_ms < 0 or click.type not in ACTIONS:
            continue
        sums = add(list(windows[click.user_id].value()), click.type, click.dwell_ms)
        windows[click.user_id] = sums
        start = start_of(click.event_time)
        await output.send(key=click.user_id, value=answer(click.event_id, click.user_id, start, sums))


app.main()
