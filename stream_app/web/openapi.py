"""The OpenAPI 3.1 document of the HTTP surface."""

from __future__ import annotations

from typing import Any

import msgspec

from stream_app.events.dead_letters import component_version
from stream_app.insights import METRICS
from stream_app.insights.part import Part

TEXT, INTEGER, NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}
TEXT_OR_NULL, NUMBER_OR_NULL = {"type": ["string", "null"]}, {"type": ["number", "null"]}
ERROR = {"type": "object", "properties": {"error": TEXT}, "required": ["error"]}
USER = {"name": "id", "in": "path", "required": True, "schema": TEXT, "description": "user id"}
PRODUCT = {**USER, "description": "product id"}
ITEM = {
    "type": "object",
    "properties": {
        "product_id": TEXT,
        **dict.fromkeys(("title", "category", "brand", "currency"), TEXT_OR_NULL),
        "price": NUMBER_OR_NULL,
        "photo": {**TEXT_OR_NULL, "description": "where to ask for it"},
    },
    "required": ["product_id"],
    "description": "The rest is absent or null where the catalogue does not say",
}
FAILURES = {"401": "no or a wrong token", "404": "not known", "503": "being restored, or its worker is away"}


def _object(**properties: Any) -> dict[str, Any]:
    """All there, and nothing else."""
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def _several(items: dict[str, Any], description: str = "") -> dict[str, Any]:
    return {"type": "array", "items": items} | ({"description": description} if description else {})


def _by_name(values: dict[str, Any], description: str) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": values, "description": description}


STEP = _object(
    item={**TEXT_OR_NULL, "description": "hash of the product id"},
    product={**TEXT_OR_NULL, "description": "the product id, where it is remembered"},
    action=TEXT,
    event_time_ms=INTEGER,
)
USER_WINDOW = _object(
    type={"enum": ["session", "tumbling"]},
    start_ms=INTEGER,
    end_ms=INTEGER,
    revision={**INTEGER, "description": "final records published so far"},
    counts=_by_name(INTEGER, "events per action"),
    unique_products=INTEGER,
    revenue=_by_name(NUMBER, "per currency"),
    platforms=_several(TEXT),
    engagement_score={**NUMBER, "description": "0 to 100"},
    signals=_several(TEXT),
    funnel_step=TEXT,
    complaint_topics=_several(TEXT),
    next_best_action=TEXT_OR_NULL,
)
USER_STATE = _object(
    user_id=TEXT,
    events=INTEGER,
    first_seen_ms=INTEGER,
    last_seen_ms=INTEGER,
    prediction=_object(purchase=NUMBER_OR_NULL, churn=NUMBER_OR_NULL, anomaly=NUMBER_OR_NULL, segment=TEXT_OR_NULL),
    sentiment={**NUMBER_OR_NULL, "description": "-1 to 1"},
    history=_several(STEP, "the last events, oldest first"),
    windows=_several(USER_WINDOW, "those that events may still change"),
    predictions=_several({"type": "object"}, "the last records of the topic, newest first; none right after a restart"),
    why=_object(
        modalities={"type": ["object", "null"], "description": "shares in the last prediction; sums to 1"},
        signals=_by_name(TEXT, "what each signal that fires means"),
    ),
)
RECOMMENDATIONS = {
    "type": "object",
    "properties": {
        "user_id": TEXT,
        "source": {"enum": ["prediction", "trending"], "description": "trending: no prediction is remembered"},
        "prediction_id": TEXT,
        "event_time": TEXT,
        "model": {"type": "object"},
        "items": _several(
            {
                "allOf": [
                    {"$ref": "#/components/schemas/Item"},
                    {"properties": {"score": NUMBER_OR_NULL, "rank": INTEGER}},
                ]
            }
        ),
    },
    "required": ["user_id", "source", "items"],
    "additionalProperties": False,
}


def openapi() -> dict[str, Any]:
    """The whole document."""
    schemas = msgspec.json.schema_components([Part], ref_template="#/components/schemas/{name}")[1]
    whole = {"type": "object", "additionalProperties": True}
    found = {"type": "array", "items": _ref("Item")}
    parts = {"type": "object", "properties": {"insights": {"type": "array", "items": _ref("Part")}, "items": found}}
    several = _parameter("id", {"type": "array", "items": TEXT, "maxItems": 100}, "product id; may come again")
    query = [
        _parameter("metric", {"enum": list(METRICS)}, "all where absent"),
        _parameter("windows", {"type": "integer", "minimum": 1, "maximum": 48, "default": 1}, "newest first"),
        _parameter("top", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 20}, "cells per window"),
    ]
    return {
        "openapi": "3.1.0",
        "info": {"title": "Real-time behaviour analyzer", "version": component_version()},
        "security": [{"token": []}],
        "paths": {
            "/v1/users/{id}": _get("State, windows, signals, last predictions and why", whole, [USER]),
            "/v1/recommendations/{id}": _get("Products for a user, best first", _ref("Recommendations"), [USER]),
            "/v1/insights": _get("Aggregates over tumbling windows, merged over all workers", parts, query),
            "/v1/items": _get("What the catalogue says of products", {"properties": {"items": found}}, [several]),
            "/v1/photos/{id}": _get("A product's photo, small", {"type": "string"}, [PRODUCT], "image/jpeg"),
            "/v1/journeys/{id}": _get("What a shopper on the live page did, by the name shown there", whole, [USER]),
            "/v1/live": _get("Snapshots for the live page, as server-sent events", whole, [], "text/event-stream"),
            "/v1/openapi.json": _get("This document", whole, []),
            "/metrics": _get("Prometheus metrics", TEXT, [], "text/plain", guarded=False),
            "/healthz": _get("Whether the worker is alive", whole, [], guarded=False),
            "/readyz": _get("Whether it is ready, and why not", whole, [], guarded=False),
        },
        "components": {
            "schemas": {
                **schemas,
                "User": USER_STATE,
                "Recommendations": RECOMMENDATIONS,
                "Item": ITEM,
                "Error": ERROR,
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _get(
    summary: str,
    schema: dict[str, Any],
    parameters: list[dict[str, Any]],
    content: str = "application/json",
    *,
    guarded: bool = True,
) -> dict[str, Any]:
    error = {"application/json": {"schema": _ref("Error")}}
    failures = {code: {"description": text, "content": error} for code, text in FAILURES.items()} if guarded else {}
    return {
        "get": {
            "summary": summary,
            "parameters": parameters,
            "responses": {"200": {"description": summary, "content": {content: {"schema": schema}}}, **failures},
            **({} if guarded else {"security": []}),
        }
    }
