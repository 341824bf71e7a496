"""The account balances a faithful run and catches every planted fault."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from stream_app.producers.account import Account, accepted, account
from stream_app.producers.bad_input import bad_records
from stream_app.producers.publish import encode
from stream_app.producers.simulate import simulate
from stream_app.records import Record

LATE, DEAD = "behavior.late-events", "behavior.dead-letters"


def click(event_id: str, **fields: Any) -> dict[str, Any]:
    base = {"event_id": event_id, "event_time": 1_000_000_000_000, "user_id": "u1", "source": "web"}
    return {**base, "action": "view", "product_id": "p", **fields}


def sent(record: dict[str, Any] | bytes | None, event_type: str = "clicks") -> Record:
    value = orjson.dumps(record) if isinstance(record, dict) else record
    return Record(f"behavior.{event_type}", 0, 0, 0, b"u1", value)


def predicted(record: dict[str, Any], prediction_id: str | None = None) -> Record:
    answer = {
        "prediction_id": prediction_id or f"id-{record.get('source')}-{record['event_id']}",
        "event_id": record["event_id"],
        "user_id": record.get("user_id") or record["anonymous_id"],
        "source": record.get("source"),
    }
    return Record("behavior.predictions", 0, 0, 0, b"u1", orjson.dumps(answer))


def aside(record: Record, topic: str) -> Record:
    return record._replace(topic=topic)


FIRST, SECOND, THIRD = click("e1"), click("e2"), click("e3")
PARTIAL = click("e4", transcript="red", is_final=False)
BROKEN = b'{"event_id": '
INPUTS = [
    sent(FIRST),
    sent(SECOND),
    sent(FIRST),
    sent(PARTIAL, "voice-transcripts"),
    sent(BROKEN),
    sent(THIRD),
    sent(BROKEN),
]
OUTPUTS = [
    predicted(FIRST),
    predicted(SECOND),
    aside(sent(BROKEN), DEAD),
    aside(sent(BROKEN), DEAD),
    aside(sent(THIRD), LATE),
]
BALANCE = Account(
    inputs=7, accepted=2, predictions=2, duplicates=1, partial=1, late=1, dead_letters=2,
    suppressed=0, lost=0, repeated=0, unknown=0,
)  # fmt: skip


def test_a_faithful_run_balances() -> None:
    assert account(INPUTS, OUTPUTS) == BALANCE
    assert BALANCE.balanced


def test_nothing_in_and_nothing_out_balances() -> None:
    assert account([], []).balanced


@pytest.mark.parametrize("gone", range(len(OUTPUTS)))
def test_an_output_that_is_missing_is_a_loss(gone: int) -> None:
    found = account(INPUTS, OUTPUTS[:gone] + OUTPUTS[gone + 1 :])
    assert (found.lost, found.repeated, found.unknown) == (1, 0, 0)


@pytest.mark.parametrize("again", range(len(OUTPUTS)))
def test_an_output_that_comes_twice_is_a_repeat(again: int) -> None:
    found = account(INPUTS, [*OUTPUTS, OUTPUTS[again]])
    assert (found.lost, found.repeated, found.unknown) == (0, 1, 0)


def test_two_prediction_ids_for_one_event_are_a_repeat() -> None:
    assert account(INPUTS, [*OUTPUTS, predicted(FIRST, "another")]).repeated == 1


def test_one_prediction_id_for_two_events_is_a_repeat() -> None:
    outputs = [predicted(FIRST, "same"), predicted(SECOND, "same"), *OUTPUTS[2:]]
    assert account(INPUTS, outputs).repeated == 1


def test_outputs_that_answer_nothing_are_unknown() -> None:
    strange = [predicted(click("never sent")), aside(sent(b"never sent"), DEAD), predicted(PARTIAL)]
    assert account(INPUTS, OUTPUTS + strange) == replace(BALANCE, predictions=4, dead_letters=3, unknown=3)


def test_the_same_event_id_of_another_source_or_user_is_another_event() -> None:
    others = [click("e1", source="app"), click("e1", user_id="u2"), click("e1", user_id="guest", anonymous_id="a1")]
    found = account(map(sent, [FIRST, *others]), [])
    assert (found.accepted, found.lost) == (4, 4)


def test_a_user_who_may_be_unanswered_is_no_loss() -> None:
    found = account(INPUTS, OUTPUTS[1:], suppressed_users={"u1"})
    assert (found.suppressed, found.lost) == (1, 0)


def test_a_late_record_and_its_late_copy_are_both_explained() -> None:
    copies = [sent(THIRD), sent(THIRD)]
    assert account(copies, [aside(c, LATE) for c in copies]).balanced


def test_accepted_leaves_out_what_is_repeated_partial_or_set_aside() -> None:
    assert list(accepted(INPUTS, OUTPUTS)) == [("clicks", FIRST), ("clicks", SECOND)]


def test_a_simulated_run_with_bad_input_balances_until_one_prediction_is_taken_away() -> None:
    encoded = [encode(*item) for item in simulate(users=100, seed=2, start_ms=1_750_000_000_000, events=5_000)]
    inputs = [Record(f"t.{e.topic}", 0, 0, e.time_ms, e.key, e.value) for e in encoded]
    bad = [Record(f"t.{b.event_type}", 0, 0, 0, b.key, b.value) for b in bad_records()]
    outputs = [predicted(fields) for _, fields in accepted(inputs, [])] + [aside(r, "t.dead-letters") for r in bad]
    found = account(inputs + bad, outputs)
    assert found.balanced
    assert found.duplicates > 0 < found.partial
    assert found.inputs == found.accepted + found.duplicates + found.partial + found.late + found.dead_letters
    assert account(inputs + bad, outputs[1:]).lost == 1
