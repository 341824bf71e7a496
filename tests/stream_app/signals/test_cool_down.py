"""A signal is told once per user and cool-down, by event time, whatever the batches and restarts."""

from __future__ import annotations

import numpy as np
import pytest

from stream_app.signals import SIGNALS
from stream_app.state import StateSettings, TaskState
from tests.stream_app.signals.test_stories import CARRIED, T0, Told, click, events_of

HOUR = 3_600_000
HOT, CART = (list(SIGNALS).index(name) for name in ("hot_lead", "cart_abandoned"))


def fresh() -> TaskState:
    return TaskState(StateSettings(), carried=CARRIED, history=4)


def due(state: TaskState, story: list[Told], slots: list[int], cooldown_ms: int = HOUR) -> list[list[bool]]:
    """Per event: which of the signals are news, were they all to fire in the windows just touched."""
    said = []
    events = events_of(story)
    for at in range(len(events)):
        batch = events.take(slice(at, at + 1))
        state.admit(batch, T0 + 10**9)
        state.update(batch)
        windows = state.open_windows()
        index = np.repeat(np.arange(len(windows)), len(slots))
        told = state.due_signals(windows, index, np.tile(slots, len(windows)), cooldown_ms)
        said.append(told.reshape(-1, len(slots)).any(axis=0).tolist())
        assert told.sum(axis=0) <= len(slots)  # session and tumbling window: once
    return said


def test_again_only_after_the_cool_down() -> None:
    story = [click(0, "view"), click(3_599, "view"), click(3_600, "view"), click(3_700, "view")]
    assert due(fresh(), story, [HOT]) == [[True], [False], [True], [False]]


def test_no_windows_no_news() -> None:
    state = fresh()
    assert due(state, [click(0, "view")], [HOT]) == [[True]]
    windows = state.open_windows()
    assert len(windows) == 0
    assert state.due_signals(windows, np.zeros(0, np.int64), np.zeros(0, np.int64), HOUR).tolist() == []


def test_a_restart_does_not_tell_it_again() -> None:
    state, kept = fresh(), {}
    said = []
    for told in [click(0, "view"), click(1_000, "view", "p2"), click(3_600, "view", "p3")]:
        topic, fields = told
        said += due(state, [(topic, {**fields, "event_id": f"{fields['event_time']}"})], [HOT, CART])
        kept |= dict(state.changes())
        state = fresh()
        state.restore(kept.items())
    assert said == [[True, True], [False, False], [True, True]]


def test_without_a_cool_down_a_signal_is_still_told_once_per_second_at_most() -> None:
    assert due(fresh(), [click(0, "view"), click(0.2, "view"), click(2, "view")], [HOT], 0) == [[True], [False], [True]]


@pytest.mark.parametrize("back_s", [1, 600])
def test_an_event_that_comes_late_does_not_tell_it_again(back_s: int) -> None:
    assert due(fresh(), [click(700, "view"), click(700 - back_s, "view", "p2")], [HOT]) == [[True], [False]]
