"""Faust with `take(1024)`. A take leaves no current event, so the table needs use_partitioner and holds the windows
itself: {start: [count, dwell, carts, purchases]}, the last two kept."""

import faust
from work import BROKER, FOLDER, NAME, OUTPUT, PARTITIONS, SIZE_MS, SOURCE, add, answer, start_of, valid

app = faust.App(
    NAME, broker=f"kafka://{BROKER}", store="memory://", topic_partitions=PARTITIONS, web_enabled=False,
    consumer_auto_offset_reset="earliest", datadir=FOLDER,
)  # fmt: skip
clicks = app.topic(SOURCE, key_type=str, key_serializer="raw", value_serializer="json")
output = app.topic(OUTPUT, partitions=PARTITIONS, key_serializer="raw", value_serializer="json")
windows = app.Table("windows", partitions=PARTITIONS, default=dict, use_partitioner=True)


@app.agent(clicks)
async def count(stream):
    async for events in stream.take(1024, within=0.1):
        answers = []
        for event in filter(valid, events):
            user, start = event["user_id"], start_of(event["event_time"])
            held = {key: value for key, value in windows[user].items() if int(key) >= start - SIZE_MS}
            sums = held[str(start)] = add(list(held.get(str(start), (0, 0, 0, 0))), event["type"], event["dwell_ms"])
            windows[user] = held
            answers.append(answer(event["event_id"], user, start, sums))
        for one in answers:
            await output.send(key=one["user_id"], value=one)


app.main()
