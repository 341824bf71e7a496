"""Few events wait for the beat, enough of them do not, and silence is not made longer."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.settings import Pipeline
from stream_app.worker.beat import due_s, phase_of, rested_s

SETTINGS = Pipeline(linger_ms=10, pace_ms=100, pace_events=16)


def test_the_first_event_after_a_silence_waits_only_for_company() -> None:
    assert due_s(SETTINGS, waiting=1, arrived_s=50.0, taken_s=40.0) == pytest.approx(50.01)


def test_few_events_wait_for_the_beat_and_enough_of_them_do_not() -> None:
    assert due_s(SETTINGS, waiting=15, arrived_s=40.03, taken_s=40.02) == pytest.approx(40.1)
    assert due_s(SETTINGS, waiting=16, arrived_s=40.03, taken_s=40.02) == 40.03


def test_two_tasks_meet_at_the_same_beat() -> None:
    one, other = (due_s(SETTINGS, waiting=1, arrived_s=7.26, taken_s=taken_s) for taken_s in (7.21, 7.25))
    assert one == other == pytest.approx(7.3)


def test_workers_have_beats_apart() -> None:
    phases = sorted(phase_of(number) for number in range(8))
    assert min(b - a for a, b in pairwise([*phases, phases[0] + 1])) > 0.05


def test_another_phase_is_another_beat() -> None:
    beats = [due_s(SETTINGS, waiting=1, arrived_s=7.21, taken_s=7.21, phase=phase) for phase in (0.0, 0.4, 0.05)]
    assert beats == [pytest.approx(7.3), pytest.approx(7.24), pytest.approx(7.305)]


def test_enough_events_wait_until_the_worker_has_rested() -> None:
    rested = rested_s(Pipeline(pace_share=0.5), taken_s=40.0, done_s=40.03)
    assert rested == pytest.approx(40.06)
    assert due_s(SETTINGS, waiting=16, arrived_s=40.03, taken_s=40.0, rested_s=rested) == rested
    assert due_s(SETTINGS, waiting=16, arrived_s=40.07, taken_s=40.0, rested_s=rested) == 40.07


def test_without_a_pace_there_is_no_beat() -> None:
    assert due_s(Pipeline(linger_ms=0, pace_ms=0), waiting=1, arrived_s=3.0, taken_s=3.0) == 3.0


@given(st.integers(1, 15), st.floats(0, 1e6), st.floats(0, 0.5))
def test_nothing_waits_longer_than_a_beat_and_a_linger(waiting: int, taken_s: float, later_s: float) -> None:
    arrived_s = taken_s + later_s
    waits_s = due_s(SETTINGS, waiting=waiting, arrived_s=arrived_s, taken_s=taken_s) - arrived_s
    assert 0.0099 < waits_s < 0.1101
