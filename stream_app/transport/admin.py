"""Topics: create what is missing, verify what is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, TopicAuthorizationFailedError, for_code

from stream_app.errors import DependencyError, SettingsError
from stream_app.outputs.topics import TOPICS, TopicNames
from stream_app.settings import Broker, Settings, Topics
from stream_app.transport.connection import client_options, failure, refusal

DEFAULT_PARTITIONS = 4
CLEANUP = "cleanup.policy"


@dataclass(frozen=True)
class TopicPlan:
    """A topic as it should be."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]


def plans(topics: Topics) -> list[TopicPlan]:
    """Every topic as the settings want it."""
    return [
        TopicPlan(topics.prefix + spec.name, spec.count(topics.partitions), topics.replication, spec.config)
        for spec in TOPICS
    ]


@asynccontextmanager
async def admin_client(broker: Broker) -> AsyncIterator[AIOKafkaAdminClient]:
    """A connected admin client; DependencyError with one clear line when there is no broker."""
    client = AIOKafkaAdminClient(**client_options(broker))
    try:
        await client.start()
    except (KafkaError, OSError) as error:
        await client.close()
        raise (await refusal(broker)) or DependencyError(f"broker {broker.url}: {error}") from error
    try:
        yield client
    finally:
        await client.close()


async def cluster_id(broker: Broker) -> str:
    """Of the cluster, as it was formatted."""
    async with admin_client(broker) as client:
        return str((await client.describe_cluster())["cluster_id"])


async def partition_counts(broker: Broker, names: Sequence[str]) -> dict[str, int]:
    """Partitions of each topic that exists."""
    async with admin_client(broker) as client:
        found = await client.describe_topics(list(names))
    if denied := [topic["topic"] for topic in found if topic["error_code"] == TopicAuthorizationFailedError.errno]:
        raise failure(TopicAuthorizationFailedError(denied), "topics", operation="DESCRIBE")
    return {topic["topic"]: len(topic["partitions"]) for topic in found if topic["error_code"] == 0}


async def settled(settings: Settings) -> Settings:
    """The settings with `topics.partitions` filled in from the inputs that exist; SettingsError when they differ."""
    topics = settings.topics
    if topics.partitions:
        return settings
    counts = await partition_counts(settings.broker, TopicNames(topics.prefix).inputs)
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        raise SettingsError(f"the input topics must have the same number of partitions: {listed}")
    partitions = next(iter(counts.values()), DEFAULT_PARTITIONS)
    return settings.model_copy(update={"topics": topics.model_copy(update={"partitions": partitions})})


async def bounds(broker: Broker, names: Sequence[str]) -> dict[tuple[str, int], tuple[int, int]]:
    """The first offset and the next one of every partition of the topics that exist."""
    there = await partition_counts(broker, names)
    partitions = [TopicPartition(name, p) for name, count in there.items() for p in range(count)]
    if not partitions:
        return {}
    consumer = AIOKafkaConsumer(**client_options(broker))
    await consumer.start()
    try:
        first, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    except KafkaError as error:
        raise DependencyError(f"broker: offsets of {', '.join(there)}: {error}") from error
    finally:
        await consumer.stop()
    return {(tp.topic, tp.partition): (first[tp], ends[tp]) for tp in partitions}


async def committed(broker: Broker, group: str) -> dict[tuple[str, int], int]:
    """The next offset of a consumer group, per partition."""
    async with admin_client(broker) as client:
        for pause_s in (0.2, 0.5, 1.0, 2.0, None):
            try:
                found = await client.list_consumer_group_offsets(group)
                break
            except KafkaError as error:  # a fresh broker has no coordinator until it is asked for one
                if pause_s is None or not error.retriable:
                    raise failure(error, f"offsets of group {group}", operation="DESCRIBE", on=group) from error
                await asyncio.sleep(pause_s)
    return {(tp.topic, tp.partition): offset.offset for tp, offset in found.items()}


async def create(broker: Broker, plans: Sequence[TopicPlan]) -> list[str]:
    """Create the topics that are missing; returns their names. Those that exist are left as they are."""
    there = await partition_counts(broker, [plan.name for plan in plans])
    missing = [plan for plan in plans if plan.name not in there]
    if not missing:
        return []
    async with admin_client(broker) as client:
        answer = await client.create_topics(
            [
                NewTopic(
                    name=plan.name,
                    num_partitions=plan.partitions,
                    replication_factor=plan.replication,
                    topic_configs=dict(plan.config),
                )
                for plan in missing
            ]
        )
    for topic, code, *message in answer.topic_errors:
        error = for_code(code)
        if error is TopicAuthorizationFailedError:
            raise failure(error(topic), "topics", operation="CREATE")
        if code and error is not TopicAlreadyExistsError:
            raise DependencyError(f"topic {topic}: {error.__name__} {message[0] if message else ''}".strip())
    await _wait_for_leaders(broker, missing)
    return [plan.name for plan in missing]


async def _wait_for_leaders(broker: Broker, plans: Sequence[TopicPlan]) -> None:
    """A new topic refuses its first requests until its leaders are elected; better once here than in every client."""
    consumer = AIOKafkaConsumer(**client_options(broker))
    await consumer.start()
    try:
        await consumer.end_offsets([TopicPartition(plan.name, p) for plan in plans for p in range(plan.partitions)])
    except KafkaError as error:
        raise DependencyError(f"broker: new topics do not answer: {error}") from error
    finally:
        await consumer.stop()


async def verify(broker: Broker, plans: Sequence[TopicPlan]) -> list[str]:
    """What is wrong, one line each: missing topics, other partition counts (co-partitioning), another cleanup."""
    there = await partition_counts(broker, [plan.name for plan in plans])
    cleanup = await _cleanup_policies(broker, list(there))
    problems = []
    for plan in plans:
        count = there.get(plan.name)
        if count is None:
            problems.append(f"topic {plan.name} is missing")
        elif count != plan.partitions:
            problems.append(f"topic {plan.name} has {count} partitions, not {plan.partitions}")
        elif (found := cleanup.get(plan.name)) and found != plan.config.get(CLEANUP, found):
            problems.append(f"topic {plan.name} has {CLEANUP} {found}, not {plan.config[CLEANUP]}")
    return problems


async def _cleanup_policies(broker: Broker, names: Sequence[str]) -> dict[str, str]:
    """Per topic; one that we may not describe is left out."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, {CLEANUP: ""}) for name in names]
    if not resources:
        return {}
    async with admin_client(broker) as client:
        answers = await client.describe_configs(resources)
    return {
        name: value
        for answer in answers
        for _code, _message, _kind, name, entries in answer.resources
        for key, value, *_rest in entries
        if key == CLEANUP
    }


async def require(broker: Broker, plans: Sequence[TopicPlan]) -> None:
    """Stop the start-up when a topic is missing, not co-partitioned, or would forget what must be kept."""
    kept = [plan if plan.config.get(CLEANUP) == "compact" else replace(plan, config={}) for plan in plans]
    if problems := await verify(broker, kept):
        raise SettingsError("; ".join(problems))
