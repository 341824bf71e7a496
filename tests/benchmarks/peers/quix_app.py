"""Quix Streams: a tumbling window reduced, every update emitted; state in RocksDB with a changelog."""

import datetime
import os

from quixstreams import Application
from work import BROKER, FOLDER, NAME, OUTPUT, SIZE_MS, SOURCE, add, answer, valid

app = Application(
    broker_address=BROKER,
    consumer_group=NAME,
    auto_offset_reset="earliest",
    state_dir=f"{FOLDER}/state",
    loglevel="WARNING",
    processing_guarantee=os.environ["BENCH_GUARANTEE"],
    commit_interval=1.0,
    producer_extra_config={"compression.type": "zstd"},
)
clicks = app.topic(
    SOURCE, key_deserializer="str", value_deserializer="json",
    timestamp_extractor=lambda value, headers, timestamp, kind: value["event_time"],
)  # fmt: skip
output = app.topic(OUTPUT, key_serializer="str", value_serializer="json")


def first(event):
    return reduce({"sums": [0, 0, 0, 0]}, event)


def reduce(held, event):
    sums = add(held["sums"], event["type"], event["dwell_ms"])
    return {"sums": sums, "user_id": event["user_id"], "event_id": event["event_id"]}


def result(window):
    held = window["value"]
    return answer(held["event_id"], held["user_id"], window["start"], held["sums"])


size, grace = datetime.timedelta(milliseconds=SIZE_MS), datetime.timedelta(milliseconds=SIZE_MS)
windows = app.dataframe(clicks).filter(valid).tumbling_window(size, grace_ms=grace).reduce(reduce, first)
windows.current().apply(result).to_topic(output)
app.run()
