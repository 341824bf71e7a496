"""Topics: full names under a prefix, and how each is set up."""

from __future__ import annotations

import pytest

from stream_app.events import EVENT_TYPES
from stream_app.outputs.topics import TOPICS, TopicNames

NAMES = TopicNames("shop.behavior.")


def test_every_topic_of_the_contract_is_there() -> None:
    assert {spec.name for spec in TOPICS} == {
        *EVENT_TYPES,
        "items",
        "control",
        "predictions",
        "engagement",
        "signals",
        "insights",
        "late-events",
        "dead-letters",
        "internal.state",
        "internal.repartition",
        "internal.items",
        "internal.workers",
    }
    assert len({spec.name for spec in TOPICS}) == len(TOPICS)


def test_names_carry_the_prefix() -> None:
    assert NAMES.inputs[0] == "shop.behavior.clicks"
    assert TopicNames().dead_letters == "behavior.dead-letters"
    assert {NAMES[spec.name] for spec in TOPICS} == {
        *NAMES.inputs,
        NAMES.items,
        NAMES.control,
        NAMES.predictions,
        NAMES.engagement,
        NAMES.insights,
        NAMES.signals,
        NAMES.workers,
        NAMES.late_events,
        NAMES.dead_letters,
        NAMES.state,
        NAMES.repartition,
        NAMES.item_log,
    }
    with pytest.raises(KeyError):
        NAMES["no-such"]


def test_an_input_topic_names_its_event_type() -> None:
    assert [NAMES.event_type(topic) for topic in NAMES.inputs] == list(EVENT_TYPES)
    for topic in (NAMES.predictions, "clicks", "behavior.clicks"):
        with pytest.raises(KeyError):
            NAMES.event_type(topic)


def test_tasks_share_a_partition_count_and_the_item_log_is_totally_ordered() -> None:
    counts = {spec.name: spec.count(6) for spec in TOPICS}
    assert {counts[name] for name in (*EVENT_TYPES, "internal.state", "internal.repartition")} == {6}
    assert counts["internal.items"] == 1


def test_policies_are_explicit_and_only_deleted_topics_have_a_retention() -> None:
    for spec in TOPICS:
        assert spec.config["cleanup.policy"] in {"delete", "compact"}
        assert ("retention.ms" in spec.config) == (spec.cleanup == "delete")
        assert all(isinstance(value, str) for value in spec.config.values())


def test_a_refused_record_of_a_mebibyte_fits_its_topic_again() -> None:
    for name in ("dead-letters", "late-events", "internal.repartition"):
        spec = next(spec for spec in TOPICS if spec.name == name)
        assert int(spec.config["max.message.bytes"]) > 1_048_588 + 16_384
