"""The ledger: every fate of an offset, and the offsets without one."""

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import orjson

from stream_app.audit.answers import IN_GRACE, ITEMS_INDEX, Reading
from stream_app.audit.ledger import Accounts, Ledger
from stream_app.errors import EventError
from stream_app.events.dead_letters import dead_letter
from stream_app.events.late import late_event
from stream_app.outputs import prediction as predictions
from stream_app.outputs.topics import TopicNames
from stream_app.records import OutputRecord, Record

NAMES = TopicNames()
CLICKS = NAMES["clicks"]
TIME_MS = 1_700_000_000_000


def click(offset: int, event_id: str, user: str = "ann") -> Record:
    value = {"event_id": event_id, "event_time": TIME_MS, "user_id": user, "action": "view", "product_id": "p"}
    return Record(CLICKS, 0, offset, TIME_MS, user.encode(), orjson.dumps(value))


def arrived(record: OutputRecord) -> Record:
    """An output as it is read back."""
    return Record(record.topic, record.partition or 0, 0, TIME_MS, record.key, record.value, record.headers)


def prediction(event_id: str, position: int, user: str = "ann", tier: str = "full") -> Record:
    positions = dict.fromkeys((*NAMES.inputs, NAMES.repartition), 0) | {CLICKS: position}
    value = {
        "user_id": user,
        "source": None,
        "event_id": event_id,
        "positions": positions,
        "feature_digest": "00" * 16,
        "tier": tier,
        "outputs": {},
    }
    return Record(NAMES.predictions, 0, 0, TIME_MS, user.encode(), orjson.dumps(value))


def balance(
    inputs: list[Record], outputs: list[Record], *, committed: int = 100, left: Sequence[int] = (), **begins: int
) -> dict[str, Any]:
    reading = Reading(NAMES)
    reading.routed(left)
    reading.add(outputs)
    answers = reading.answers()
    ledger = Ledger(
        NAMES, 0, answers, committed={(CLICKS, 0): committed}, begins={(NAMES[n], 0): b for n, b in begins.items()}
    )
    ledger.add(CLICKS, inputs)
    ledger.close()
    accounts = Accounts()
    accounts.add(ledger, 0, answers, whole=True)
    return accounts.result()


def poison(record: Record) -> Record:
    return arrived(dead_letter(record, EventError("poison", "", stage="inference"), topic=NAMES.dead_letters))


def test_each_fate_is_told_apart() -> None:
    late, strange, bad = click(2, "c"), click(3, "d"), Record(CLICKS, 0, 4, TIME_MS, b"ann", b"{")
    outputs = [
        prediction("a", 1),
        arrived(late_event(late, topic=NAMES.late_events, watermark_ms=9, event_time_ms=1, grace_ms=2)),
        arrived(dead_letter(bad, EventError("malformed_json", "", stage="decode"), topic=NAMES.dead_letters)),
    ]

    result = balance([click(0, "a"), click(1, "a"), late, strange, bad, click(5, "e")], outputs, committed=5, left=[3])

    told = {fate: result[fate] for fate in ("predicted", "duplicate", "late", "routed", "dead_lettered", "pending")}
    assert told == dict.fromkeys(told, 1)
    assert (result["unexplained"], result["repeated"], result["unknown"]) == (0, 0, 0)


def test_a_consumed_offset_without_an_answer_is_named() -> None:
    result = balance([click(0, "a"), click(1, "b")], [prediction("a", 1)])

    assert result["unexplained"] == 1
    assert [(one["topic"], one["partition"], one["offset"]) for one in result["offsets"]] == [(CLICKS, 0, 1)]


def test_a_refused_record_that_nobody_set_aside_is_named() -> None:
    result = balance([Record(CLICKS, 0, 0, TIME_MS, b"ann", b"{")], [])

    assert "malformed_json" in result["offsets"][0]["why"]


def test_a_prediction_whose_position_is_off_by_one_answers_nothing() -> None:
    result = balance([click(0, "a")], [prediction("a", 2)])

    assert result["unknown"] == 1


def test_two_predictions_of_one_event_are_repeated() -> None:
    assert balance([click(0, "a")], [prediction("a", 1), prediction("a", 1)])["repeated"] == 1


def test_a_copy_of_a_poisoned_event_is_a_duplicate() -> None:
    original, copy = click(0, "a"), click(1, "a")

    result = balance([original, copy], [poison(original)])

    assert (result["dead_lettered"], result["duplicate"], result["unexplained"]) == (1, 1, 0)


def test_two_users_with_one_event_id_are_told_by_partition_as_the_worker_tells_them() -> None:
    result = balance([click(0, "a"), click(1, "a", user="bob")], [prediction("a", 1)])

    assert (result["predicted"], result["duplicate"], result["unexplained"]) == (1, 1, 0)


def test_a_prediction_whose_record_has_expired_is_not_unknown_but_any_other_is() -> None:
    outputs = [prediction("gone", 3), prediction("never", 6), prediction("here", 7)]

    assert balance([click(6, "here")], outputs, clicks=5)["unknown"] == 1


def test_records_consumed_before_the_oldest_prediction_that_is_left_have_expired() -> None:
    inputs = [click(0, "a"), click(1, "x"), click(2, "b"), click(3, "c")]

    result = balance(inputs, [prediction("b", 3)], predictions=40)

    assert (result["expired"], result["predicted"], result["unexplained"]) == (2, 1, 1)
    assert [one["offset"] for one in result["offsets"]] == [3]


def test_every_skipped_offset_is_counted_and_the_first_hundred_are_named() -> None:
    result = balance([click(at, f"e{at}") for at in range(300)], [], committed=250)

    assert (result["unexplained"], result["pending"], len(result["offsets"])) == (250, 50, 100)


def test_the_audit_knows_predictions_by_the_names_that_they_have() -> None:
    assert ITEMS_INDEX == predictions.ITEMS_INDEX
    assert IN_GRACE in predictions.QUALITY_FLAGS


def test_a_dead_letter_of_another_topic_is_none_of_its_business() -> None:
    item = Record(NAMES.items, 0, 0, TIME_MS, b"p", b"{")

    result = balance([click(0, "a")], [prediction("a", 1), poison(item)])

    assert (result["predicted"], result["dead_lettered"], result["repeated"]) == (1, 0, 0)


def test_answers_that_left_something_out_answer_and_are_counted() -> None:
    result = balance([click(0, "a"), click(1, "b")], [prediction("a", 1), prediction("b", 2, tier="behavior_only")])

    assert (result["predicted"], result["tiers"]) == (2, {"full": 1, "behavior_only": 1})


def test_an_audit_imports_no_model() -> None:
    command = "import sys, stream_app.audit.run; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command]).returncode == 0
