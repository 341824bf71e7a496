"""Every registered event type: its file, its columns, and a JSON Schema that says what the decoder does."""

import ast
import json
from pathlib import Path
from typing import Any, get_args, get_type_hints

import jsonschema  # type: ignore[import-untyped]
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import stream_app.events
from stream_app import schemas
from stream_app.events import ACTIONS, EVENT_TYPES, EventBatch
from stream_app.events.columns import ABSENT
from stream_app.outputs.topics import TOPICS
from tests.stream_app.events.samples import FULL, REQUIRED, base64_of, decoded, event, raw

FOLDER = Path(stream_app.events.__file__).parent
DOCUMENTS = schemas.documents()
Change = dict[str, Any]


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(DOCUMENTS[f"{name}.json"]))


VALIDATORS = {name: validator(name) for name in EVENT_TYPES}


def test_each_file_with_an_event_type_is_registered() -> None:
    defined = {
        node.name
        for path in FOLDER.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "Event" for base in node.bases)
    }
    assert defined == {kind.__name__ for kind in EVENT_TYPES.values()}


def test_actions_are_unique_and_in_the_order_of_the_types() -> None:
    assert ACTIONS == (
        "impression",
        "view",
        "click",
        "add_to_cart",
        "remove_from_cart",
        "wishlist",
        "purchase",
        "search",
        "review",
        "voice",
    )
    assert len(set(ACTIONS)) == len(ACTIONS)
    assert list(EVENT_TYPES) == ["clicks", "searches", "reviews", "voice-transcripts"]


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_a_type_fills_only_known_columns_with_their_types(event_type: str) -> None:
    batch = event(event_type)
    for name, hint in get_type_hints(EventBatch).items():
        column = getattr(batch, name)
        assert column.shape == (1,)
        assert column.dtype == np.dtype(get_args(get_args(hint)[1])[0]), name
    assert EVENT_TYPES[event_type].columns([]).keys() <= ABSENT.keys()
    assert EVENT_TYPES[event_type].track in ("", "text", "voice")
    assert bool(EVENT_TYPES[event_type].track) == (batch.text[0] is not None)
    assert ACTIONS[batch.action[0]] in EVENT_TYPES[event_type].actions


def test_the_committed_schemas_are_what_the_types_say() -> None:
    assert schemas.stale() == [], "run `stream-app topics schema`"


def test_writing_makes_a_stale_folder_current(tmp_path: Path) -> None:
    assert schemas.stale(tmp_path) == sorted(DOCUMENTS, key=list(DOCUMENTS).index)
    assert schemas.write(tmp_path) == list(DOCUMENTS)
    (tmp_path / "clicks.json").write_bytes(b"{}")
    assert schemas.write(tmp_path) == ["clicks.json"]
    assert schemas.stale(tmp_path) == []


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if name.endswith(".json")])
def test_each_document_is_a_json_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(DOCUMENTS[name]))


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_valid_records_satisfy_the_schema(event_type: str) -> None:
    for fields in (FULL[event_type], REQUIRED[event_type]):
        VALIDATORS[event_type].validate(fields)
    assert json.loads(DOCUMENTS[f"{event_type}.json"])["properties"].keys() == FULL[event_type].keys()


@pytest.mark.parametrize(
    ("event_type", "change"),
    [
        ("clicks", {"user_id": None}),
        ("clicks", {"user_id": " GUEST "}),
        ("clicks", {"user_id": "[object Object]", "anonymous_id": "NaN"}),
        ("clicks", {"event_id": "x" * 129}),
        ("clicks", {"event_time": "2026-01-05T10:11:12"}),
        ("clicks", {"event_time": -1}),
        ("clicks", {"action": "stare"}),
        ("clicks", {"currency": "€€€"}),
        ("clicks", {"position": 0}),
        ("clicks", {"image": {}}),
        ("clicks", {"image": {"url": "x", "embedding": [1]}}),
        ("reviews", {"rating": None}),
        ("reviews", {"rating": "5.5"}),
        ("reviews", {"rating": 0}),
        ("voice-transcripts", {"is_final": False}),
        ("voice-transcripts", {"is_final": False, "call_id": "c", "segment_id": None}),
        ("voice-transcripts", {"words": [{}]}),
    ],
)
def test_a_record_that_breaks_a_rule_breaks_the_schema(event_type: str, change: Change) -> None:
    fields = REQUIRED[event_type] | change
    assert not VALIDATORS[event_type].is_valid(fields)
    assert not isinstance(decoded(event_type, raw(fields)), EventBatch)


@given(
    st.sampled_from(list(EVENT_TYPES)).flatmap(
        lambda name: st.tuples(
            st.just(name),
            st.dictionaries(
                st.sampled_from([*FULL[name], "unknown"]),
                st.sampled_from(
                    [
                        None, True, False, 0, 1, -1, 5, 5.5, 2**40, "", "1", "5", "guest", "customer", "view", [], {},
                        [1.0], ["x"], {"a": True}, {"url": "x"}, {"embedding": [0]}, {"data": base64_of(b"GIF")},
                        [{"url": "x"}], [{"word": "a"}], [{"product_id": "a"}], "1767607872000", 1767607872000,
                    ]
                ),
                max_size=4,
            ),
        )
    )
)  # fmt: skip
@settings(max_examples=500, deadline=None)
def test_whatever_the_decoder_accepts_satisfies_the_schema(drawn: tuple[str, Change]) -> None:
    event_type, change = drawn
    fields = REQUIRED[event_type] | change
    if isinstance(decoded(event_type, raw(fields)), EventBatch):
        VALIDATORS[event_type].validate(fields)


def test_asyncapi_lists_every_public_topic_with_its_cleanup() -> None:
    document = yaml.safe_load(DOCUMENTS["asyncapi.yaml"])
    public = {spec.name: spec.cleanup for spec in TOPICS if not spec.name.startswith("internal.")}
    cleanup = {
        name: channel["bindings"]["kafka"]["topicConfiguration"]["cleanup.policy"]
        for name, channel in document["channels"].items()
    }
    assert cleanup == {name: [policy] for name, policy in public.items()}
    assert document["asyncapi"] == "3.0.0"
    actions = {operation["channel"]["$ref"]: operation["action"] for operation in document["operations"].values()}
    assert actions == {
        f"#/channels/{name}": "receive" if name in {*EVENT_TYPES, "items", "control"} else "send" for name in public
    }


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = yaml.safe_load(DOCUMENTS["asyncapi.yaml"])

    def follow(part: Any) -> None:
        if isinstance(part, dict):
            if reference := part.get("$ref"):
                file, _, path = reference.partition("#/")
                target: Any = json.loads(DOCUMENTS[file.removeprefix("./")]) if file else document
                for step in filter(None, path.split("/")):
                    target = target[step]
            for inner in part.values():
                follow(inner)
        elif isinstance(part, list):
            for inner in part:
                follow(inner)

    follow(document)
