"""A loop by hand on aiokafka: dicts in memory, nothing durable; offsets are committed once a second, after a flush."""

import time

import aiokafka
import orjson
import uvloop
from work import BROKER, NAME, OUTPUT, SOURCE, add, answer, start_of, valid


async def main():
    consumer = aiokafka.AIOKafkaConsumer(
        SOURCE, bootstrap_servers=BROKER, group_id=NAME, auto_offset_reset="earliest", enable_auto_commit=False
    )
    producer = aiokafka.AIOKafkaProducer(
        bootstrap_servers=BROKER, compression_type="zstd", linger_ms=5, max_batch_size=1 << 17
    )
    await consumer.start()
    await producer.start()
    windows, committed_s = {}, time.monotonic()
    while True:
        for records in (await consumer.getmany(timeout_ms=100, max_records=4096)).values():
            for record in records:
                event = orjson.loads(record.value)
                if not valid(event):
                    continue
                user, start = event["user_id"], start_of(event["event_time"])
                sums = windows.get((user, start))
                if sums is None:
                    sums = windows[user, start] = [0, 0, 0, 0]
                add(sums, event["type"], event["dwell_ms"])
                value = orjson.dumps(answer(event["event_id"], user, start, sums))
                await producer.send(OUTPUT, value, key=record.key)
        if time.monotonic() - committed_s > 1:
            await producer.flush()
            await consumer.commit()
            committed_s = time.monotonic()


uvloop.run(main())
