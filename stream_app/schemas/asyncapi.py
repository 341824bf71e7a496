"""The AsyncAPI 3.0 document: every public topic with its direction, key, cleanup and records."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from stream_app.events import EVENT_TYPES, dead_letters, late
from stream_app.events.dead_letters import component_version

PREFIX = "behavior."
SCHEMA_FORMAT = "application/schema+json;version=draft/2020-12"
TEXT = {"type": "string"}


@dataclass(frozen=True)
class Channel:
    """A topic without its prefix. `action` is what this application does with it."""

    name: str
    action: Literal["receive", "send"]
    key: str
    description: str
    cleanup: Literal["delete", "compact"] = "delete"
    payload: dict[str, Any] | None = None  # of topics without a schema file
    headers: dict[str, Any] | None = None


UNCHANGED = {"description": "The input record, byte for byte"}
DEAD_LETTER_HEADERS = dict.fromkeys(dead_letters.HEADERS, TEXT) | {
    "dlq.stage": {"enum": list(dead_letters.STAGES)},
    "dlq.code": {"enum": list(dead_letters.CODES)},
}

CHANNELS = (
    *(Channel(name, "receive", "user id (UTF-8)", kind.__doc__ or "") for name, kind in EVENT_TYPES.items()),
    Channel("items", "receive", "product id", "The catalogue; optional. For the eyes of people alone.", "compact"),
    Channel(
        "control",
        "receive",
        "user id or empty",
        "Under the empty key which model serves; under a user id erasure, consent, identity merge, profile.",
        "compact",
    ),
    Channel("predictions", "send", "user id", "One record for every accepted event, in the user's event order."),
    Channel("engagement", "send", "user id", "Per user and window, once more when the window is final."),
    Channel("signals", "send", "user id", "A signal that is news: once per user, signal and cool-down."),
    Channel(
        "insights",
        "send",
        "metric|window start|partition",
        "Aggregates for people: trending, funnel, sentiment, segment sizes; parts of different partitions add up.",
        "compact",
    ),
    Channel(
        "late-events",
        "send",
        "as the input",
        "Events beyond the grace, with headers that say how late.",
        payload=UNCHANGED,
        headers=dict.fromkeys(late.HEADERS, TEXT),
    ),
    Channel(
        "dead-letters",
        "send",
        "as the input",
        "Records that were refused, with headers that say what was wrong.",
        payload=UNCHANGED,
        headers=DEAD_LETTER_HEADERS,
    ),
)


def asyncapi(documented: Collection[str]) -> dict[str, object]:
    """The document; topics in `documented` have a schema file of their name beside it."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Real-time behaviour analyzer",
            "version": component_version(),
            "description": f"Topic names begin with a prefix that is a setting; here it is {PREFIX}",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {channel.name: topic(channel) for channel in CHANNELS},
        "operations": {f"{c.action}-{c.name}": operation(c) for c in CHANNELS},
        "components": {"messages": {c.name: message(c, c.name in documented) for c in CHANNELS}},
    }


def topic(channel: Channel) -> dict[str, object]:
    """A channel: the topic, how it is cleaned up, and its one kind of message."""
    return {
        "address": PREFIX + channel.name,
        "description": channel.description,
        "messages": {channel.name: {"$ref": f"#/components/messages/{channel.name}"}},
        "bindings": {"kafka": {"topicConfiguration": {"cleanup.policy": [channel.cleanup]}, "bindingVersion": "0.5.0"}},
    }


def operation(channel: Channel) -> dict[str, object]:
    """What this application does with the channel."""
    return {
        "action": channel.action,
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "messages": [{"$ref": f"#/channels/{channel.name}/messages/{channel.name}"}],
    }


def message(channel: Channel, documented: bool) -> dict[str, object]:
    """A record: key, headers and value."""
    schema = {"$ref": f"./{channel.name}.json"} if documented else channel.payload
    headers = {"headers": {"type": "object", "properties": channel.headers}} if channel.headers else {}
    return {
        "name": channel.name,
        **headers,
        "payload": {"schemaFormat": SCHEMA_FORMAT, "schema": schema},
        "bindings": {"kafka": {"key": {**TEXT, "description": channel.key}, "bindingVersion": "0.5.0"}},
    }
