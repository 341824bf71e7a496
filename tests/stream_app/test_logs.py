"""Logs: one JSON object per line, readable lines for people, and no event's text in either."""

import asyncio
import io
import logging
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from aiokafka.errors import NotEnoughReplicasError, NotLeaderForPartitionError
from hypothesis import given
from hypothesis import strategies as st

from stream_app import logs
from stream_app.errors import DependencyError
from stream_app.records import Record

SECRET = "wherecanibuysecretpills"
PAYLOAD = f'{{"query": "{SECRET} now"}}'.encode()
RECORD = Record("behavior.searches", 0, 5, 1, SECRET.encode(), PAYLOAD)


@pytest.fixture(autouse=True)
def _leave_logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in logs.QUIET}
    yield
    root.handlers[:], root.level = handlers, level
    for name, was in levels.items():
        logging.getLogger(name).setLevel(was)


@pytest.fixture(params=["json", "console"])
def written(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    logs.configure(request.param, "DEBUG")
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def json_written(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    logs.configure("json", "INFO")
    return stream


def test_a_line_is_one_json_object_with_its_extra_fields(json_written: io.StringIO) -> None:
    logging.getLogger("stream_app.worker").info("task %d restored", 3, extra={"rows": 10, "took_s": 0.25})
    (line,) = lines(json_written)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "logger": "stream_app.worker",
        "message": "task 3 restored",
        "rows": 10,
        "took_s": 0.25,
    }


def test_an_error_of_ours_says_its_message_and_where(json_written: io.StringIO) -> None:
    try:
        raise DependencyError("no broker at localhost:1")
    except DependencyError:
        logging.getLogger("stream_app").exception("paused")
    (line,) = lines(json_written)
    assert line["exception"]["type"] == "stream_app.errors.DependencyError"
    assert line["exception"]["message"] == "no broker at localhost:1"
    assert "test_an_error_of_ours" in line["exception"]["at"][-1]


def test_a_person_reads_time_level_and_message(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    logs.configure("console", "INFO")
    logging.getLogger("stream_app").warning("broker [bold]away[/bold]", extra={"attempt": 2})
    assert "WARNING" in stream.getvalue()
    assert "broker [bold]away[/bold] attempt=2" in stream.getvalue()


def test_libraries_speak_from_warning_on(json_written: io.StringIO) -> None:
    logging.getLogger("aiokafka.consumer.fetcher").info("noise")
    logging.getLogger("faust.transport").info("noise")
    logging.getLogger("aiokafka.cluster").warning("topic %s is not available", "behavior.clicks")
    assert [line["message"] for line in lines(json_written)] == ["topic behavior.clicks is not available"]


def test_configuring_again_does_not_double_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "INFO")
    logs.configure("json", "INFO")
    logging.getLogger("stream_app").info("once")
    assert capsys.readouterr().err.count("once") == 1


@pytest.mark.parametrize("logger", ["faust.agents", "aiokafka.producer", "stream_app.worker", "somebody.else"])
@pytest.mark.parametrize("value", [RECORD, PAYLOAD, SECRET.encode(), [PAYLOAD], {"q": PAYLOAD}, ValueError(SECRET)])
def test_no_event_reaches_a_log_as_an_argument_or_extra_field(written: io.StringIO, logger: str, value: object) -> None:
    logging.getLogger(logger).error("could not handle %r", value)
    logging.getLogger(logger).error("could not handle", extra={"record": value})
    assert "could not handle" in written.getvalue()
    assert SECRET not in written.getvalue()


def test_no_event_reaches_a_log_through_an_exception(written: io.StringIO) -> None:
    try:
        float(PAYLOAD)
    except ValueError:
        logging.getLogger("faust").exception("Agent crashed")
        logging.getLogger("stream_app").exception("batch failed")
    assert "Agent crashed" in written.getvalue()
    assert SECRET not in written.getvalue()


async def test_no_event_reaches_a_log_through_a_task_that_died_unseen(written: io.StringIO) -> None:
    error = ValueError(PAYLOAD.decode())
    task = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_exception_handler(
        {"message": "Task exception was never retrieved", "exception": error, "future": task, "event": RECORD}
    )
    task.cancel()
    assert "never retrieved" in written.getvalue()
    assert SECRET not in written.getvalue()


def test_no_sentence_reaches_a_log_through_a_library(written: io.StringIO) -> None:
    logging.getLogger("aiokafka").error("bad value %s at %s", f"{SECRET} now", {"x": SECRET})
    assert "bad value <str> at <dict>" in written.getvalue()


def test_a_library_says_the_same_thing_once_in_a_while_and_then_how_often(json_written: io.StringIO) -> None:
    def said(name: str, created_s: float, error: object) -> None:
        record = logging.LogRecord(name, logging.ERROR, "f.py", 1, "no node: %s", (error,), None)
        record.created = created_s
        logging.getLogger(name).handle(record)

    for at in range(5):
        said("aiokafka", 100 + at, ValueError)
    said("aiokafka", 103, KeyError)
    said("aiokafka", 100 + logs.EVERY_S, ValueError)
    for _ in range(2):
        said("stream_app", 100, ValueError)

    told = [(line["message"], line.get("repeated")) for line in lines(json_written)]
    assert told[:3] == [("no node: ValueError", None), ("no node: KeyError", None), ("no node: ValueError", 4)]
    assert len(told) == 5, "what we say ourselves is never held back"


def test_records_that_a_broker_does_not_take_at_once_are_no_warning(json_written: io.StringIO) -> None:
    for error in (NotEnoughReplicasError, NotLeaderForPartitionError):
        logging.getLogger("aiokafka.producer.sender").warning("retrying. Error: %s", error)
    assert [(line["level"], line["message"]) for line in lines(json_written)] == [
        ("INFO", "retrying. Error: NotEnoughReplicasError"),
        ("WARNING", "retrying. Error: NotLeaderForPartitionError"),
    ]


@pytest.mark.parametrize("formatter", [logs.JsonFormatter(), logs.ConsoleFormatter()])
def test_a_number_format_with_a_withheld_argument_does_not_raise(formatter: logging.Formatter) -> None:
    record = logging.LogRecord("faust", logging.ERROR, "f.py", 1, "took %.2f s, %d", (PAYLOAD, SECRET), None)
    assert "took %.2f s" in formatter.format(record)
    assert SECRET not in formatter.format(record)


@given(st.text(), st.lists(st.one_of(st.text(), st.binary(), st.integers(), st.floats(), st.none()), max_size=4))
def test_any_record_formats_to_one_line_of_json(text: str, arguments: list[object]) -> None:
    for name in ("stream_app", "faust"):
        record = logging.LogRecord(name, logging.INFO, "f.py", 1, text, tuple(arguments), None)
        line = logs.JsonFormatter().format(record)
        assert "\n" not in line
        assert orjson.loads(line)["logger"] == name
