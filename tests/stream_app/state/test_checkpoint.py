"""A checkpoint written while the task goes on, and the log behind it, are the whole log."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_app.state import StateSettings, TaskState
from stream_app.state.checkpoint import RefusedError, Writer, read
from stream_app.state.task_state import TASK, Changes, Slice
from tests.stream_app.state.streams import SMALL, Outcome, Shop, apply, batch, new_state
from tests.stream_app.state.test_task_state import GAP, WINDOW, streams
from tests.stream_app.state.whole import whole

NOW_MS = 1_000_000
IDENTITY = {"cluster": "c", "topic": "t", "partition": 3}


def saved(path: Path, state: TaskState, parts: list[Slice], own: dict[bytes, bytes]) -> Path:
    writer = Writer(path)
    for part in parts:
        writer.add(part)
    writer.finish(IDENTITY, offset=0, log_id=state.log_id, begun_ms=NOW_MS, own=own)
    writer.close()
    return path


def small(path: Path) -> tuple[Path, TaskState]:
    state = new_state(inputs=1)
    for segment in state.admit(batch([Shop(1, 0, 1), Shop(2, 5, 2)]), NOW_MS).segments:
        apply(state, [[Shop(1, 0, 1), Shop(2, 5, 2)][at] for at in segment.index.tolist()], Outcome())
    state.changes()
    return saved(path, state, [state.columns(0, 9)], state.own()), state


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(streams(longest=90), st.sampled_from([1, 7]), st.integers(0, 40), st.booleans())
def test_a_checkpoint_written_meanwhile_and_the_tail_are_the_whole_log(
    tmp_path_factory: pytest.TempPathFactory, events: list[Shop], limit: int, begin: int, brief: bool
) -> None:
    rules = replace(SMALL, user_ttl_ms=GAP + WINDOW + SMALL.grace_ms) if brief else SMALL
    state = new_state(rules)
    log: Changes = []
    tail: Changes | None = None
    parts: list[Slice] = []
    count = row = 0

    def copy() -> None:
        nonlocal row
        if tail is not None and row < count:
            parts.append(state.columns(row, row + 1))
            row += 1

    for number, first in enumerate(range(0, len(events), limit)):
        if number == begin:
            tail, count = [], state.row_count
        piece = events[first : first + limit]
        for segment in state.admit(batch(piece), NOW_MS).segments:
            state.close(segment.watermark_ms)
            copy()
            apply(state, [piece[at] for at in segment.index.tolist()], Outcome())
        state.close()
        copy()
        state.open_windows()
        changes = state.changes()
        log += changes
        if tail is not None:
            tail += changes
    while tail is not None and row < count:
        copy()
    if tail is None:
        tail, parts = [], [state.columns(0, state.row_count)]
    path = saved(tmp_path_factory.mktemp("checkpoint") / "0.state", state, parts, state.own())
    found = read(path, IDENTITY, row=state.row)
    assert found is not None
    one, other = new_state(rules), new_state(rules)
    one.restore(log, now_ms=NOW_MS)
    other.restore(tail, now_ms=NOW_MS, own=found.own, slices=found.slices())
    assert whole(other) == whole(one)
    assert other.own() == one.own()
    assert one.changes() == other.changes()


def test_there_may_be_none(tmp_path: Path) -> None:
    assert read(tmp_path / "0.state", IDENTITY, row=new_state().row) is None


@pytest.mark.parametrize("at", [0, 40, -1, -10, -30])
def test_one_wrong_bit_is_refused(tmp_path: Path, at: int) -> None:
    path, state = small(tmp_path / "0.state")
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(RefusedError, match="torn"):
        read(path, IDENTITY, row=state.row)


@pytest.mark.parametrize("size", [0, 8, 24, 100])
def test_a_torn_file_is_refused(tmp_path: Path, size: int) -> None:
    path, state = small(tmp_path / "0.state")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(RefusedError, match="torn"):
        read(path, IDENTITY, row=state.row)


@pytest.mark.parametrize("name", IDENTITY)
def test_a_foreign_file_is_refused(tmp_path: Path, name: str) -> None:
    path, state = small(tmp_path / "0.state")
    with pytest.raises(RefusedError, match=name):
        read(path, IDENTITY | {name: "x"}, row=state.row)


def test_what_was_not_finished_is_not_there(tmp_path: Path) -> None:
    path, state = small(tmp_path / "0.state")
    before = path.read_bytes()
    writer = Writer(path)
    writer.add(state.columns(0, 9))
    writer.close()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_log_keeps_its_name() -> None:
    state = new_state(inputs=1)
    state.admit(batch([Shop(1, 0, 1)]), NOW_MS)
    fresh = new_state(StateSettings(**vars(SMALL)), inputs=1)
    assert fresh.log_id != state.log_id
    log = state.changes()
    assert log[-1][0] == TASK
    fresh.restore(log)
    assert fresh.log_id == state.log_id
