
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from stream_app.broker import EmbeddedBroker


async def produce(url: str, topic: str, *values: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=url)
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value, partition=0)
    finally:
        await producer.stop()


async def consume(url: str, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=url, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


async def test_what_is_produced_is_consumed(broker: EmbeddedBroker, topic_prefix: str, create_topics) -> None:
    await create_topics(topic_prefix + "a")
    await produce(broker.url, topic_prefix + "a", b"1", b"2")
    assert await consume(broker.url, topic_prefix + "a", 2) == [b"1", b"2"]
