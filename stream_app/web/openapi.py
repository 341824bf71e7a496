"""The OpenAPI 3.1 document of the HTTP surface."""

from __future__ import annotations

from typing import Any

import msgspec

from stream_app.events.dead_letters import component_version
from stream_app.insights import METRICS
from stream_app.insights.part import Part

TEXT = {"type": "string"}
ERROR = {"type": "object", "properties": {"error": TEXT}, "required": ["error"]}
USER = {"name": "id", "in": "path", "required": True, "schema": TEXT, "description": "user id"}
PRODUCT = {**USER, "description": "product id"}
ITEM = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("product_id", "title", "category", "brand", "currency"), TEXT),
        "price": {"type": "number"},
        "photo": {"type": "string", "description": "where to ask for it"},
    },
    "required": ["product_id"],
    "description": "The rest is absent or null where the catalogue does not say",
}
FAILURES = {"401": "no or a wrong token", "404": "not known", "503": "being restored, or its worker is away"}


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
            "/v1/recommendations/{id}": _get("Products for a user, best first", whole, [USER]),
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
            "schemas": {**schemas, "Item": ITEM, "Error": ERROR},
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
