"""Bytewax: Kafka in and out, `stateful_map` per user, snapshots for recovery."""

import orjson
from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSinkMessage
from bytewax.connectors.kafka import operators as kafka
from bytewax.dataflow import Dataflow
from confluent_kafka import OFFSET_BEGINNING
from work import BROKER, OUTPUT, SIZE_MS, SOURCE, add, answer, start_of, valid

flow = Dataflow("windows")
source = kafka.input("in", flow, brokers=[BROKER], topics=[SOURCE], starting_offset=OFFSET_BEGINNING, batch_size=1000)


def decode(message):
    try:
        event = orjson.loads(message.value)
    except orjson.JSONDecodeError:
        return None
    return (event["user_id"], event) if valid(event) else None


def step(held, event):
    """held = {start: sums}, the open window and the one before."""
    windows, start = held or {}, start_of(event["event_time"])
    sums = windows.get(start)
    if sums is None:
        windows = {key: value for key, value in windows.items() if key >= start - SIZE_MS}
        sums = windows[start] = [0, 0, 0, 0]
    add(sums, event["type"], event["dwell_ms"])
    return windows, answer(event["event_id"], event["user_id"], start, sums)


counted = op.stateful_map("count", op.filter_map("decode", source.oks, decode), step)
messages = op.map("encode", counted, lambda pair: KafkaSinkMessage(pair[0].encode(), orjson.dumps(pair[1])))
kafka.output("out", messages, brokers=[BROKER], topic=OUTPUT, add_config={"compression.type": "zstd"})
