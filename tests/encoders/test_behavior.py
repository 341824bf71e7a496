"""Behaviour: silence fades the state, ids hash, several users at once are each alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from encoders import behavior, recurrence
from encoders.behavior import (
    CONTEXT_ROWS,
    ITEM_ROWS,
    STATE,
    Acts,
    BehaviorEncoder,
    context_rows,
    item_rows,
    planned,
)
from encoders.look_back import look_around, look_back
from encoders.recurrence import FEW, step, steps


def acts(gap_s: float, *, state: int = 100) -> Acts:
    one = np.ones(1, np.int64)
    return Acts(
        row=np.zeros(1, np.int64),
        item=np.array([9], np.uint64),
        category=np.zeros(1, np.uint64),
        brand=np.zeros(1, np.uint64),
        action=one,
        time_ms=one * 10**12,
        gap_s=np.array([gap_s], np.float32),
        numerics=np.full((1, 2), np.nan, np.float32),
        ring_item=np.zeros((1, 4), np.uint64),
        ring_action=np.zeros((1, 4), np.int64),
        ring_time_ms=np.zeros((1, 4), np.int64),
        state=np.full((1, STATE), state, np.int8),
    )


def test_silence_says_something() -> None:
    torch.manual_seed(0)
    encoder = BehaviorEncoder(3, 2)
    with torch.no_grad():
        encoder.decay.fill_(2.0)
        soon, late = (encoder.recur(torch.zeros(1, STATE), encoder.prepare(acts(gap))) for gap in (1, 10_000_000))
    assert late.abs().mean() < soon.abs().mean()


def test_the_state_is_whole_127ths() -> None:
    encoder = BehaviorEncoder(3, 2).eval()
    with torch.no_grad():
        state = encoder(encoder.prepare(acts(5))).vector[:, :STATE] * 127
    torch.testing.assert_close(state, state.round(), atol=1e-4, rtol=0)
    assert state.abs().max() <= 127


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20))
def test_any_id_has_rows_and_only_absence_is_row_zero(hashes: list[int]) -> None:
    given_ = np.array(hashes, np.uint64)
    rows = item_rows(given_)
    assert ((rows >= 0) & (rows <= 2 * ITEM_ROWS)).all()
    assert ((rows == 0).all(1) == (given_ == 0)).all()
    both = context_rows(given_, given_[::-1].copy())
    assert ((both >= 0) & (both <= 2 * CONTEXT_ROWS)).all()


@given(st.lists(st.integers(0, 6), min_size=1, max_size=8))
def test_the_plan_takes_every_event_once_and_in_its_users_order(counts: list[int]) -> None:
    row = np.repeat(np.arange(len(counts)), counts)
    order, place, users, active = planned(row, np.array(counts))
    assert sorted(order.tolist()) == list(range(len(row)))
    assert order[place].tolist() == list(range(len(row)))
    start = 0
    for nth, size in enumerate(active):
        taken = order[start : start + size].numpy()
        first = np.searchsorted(row, row[taken])
        assert (taken - first == nth).all()
        assert row[taken].tolist() == users[:size].tolist()
        start += size


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize("counts", [[3], [1, 5, 2], [1] * FEW, [2] * (FEW + 1), [2] * FEW + [9, 1, 4]])
def test_the_quick_recurrence_is_the_one_that_learns(
    counts: list[int], jit: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not jit:
        for loop in (step, steps):
            for module in (behavior, recurrence):
                monkeypatch.setattr(module, loop.__name__, getattr(loop, "py_func", loop))
    torch.manual_seed(len(counts))
    encoder = BehaviorEncoder(3, 2)
    row = np.arange(len(counts)).repeat(counts)
    prepared = encoder.prepare(acts(5))._replace(
        gap_s=torch.rand(len(row)) * 1000,
        state=torch.randint(-127, 128, (len(counts), STATE), dtype=torch.int8),
        **dict(zip(("order", "place", "users", "active"), planned(row, np.array(counts)), strict=True)),
    )
    token = torch.randn(len(row), STATE)
    slow = encoder.recur(token, prepared)
    with torch.inference_mode():
        quick = encoder.recur(token, prepared)
    units = (quick - slow).abs() * 127
    assert units.max() < 2.5  # rounding falls the other way where a state lies between two 127ths
    assert (units < 0.01).float().mean() > 0.98


@pytest.mark.parametrize("jit", [True, False], ids=["machine code", "python"])
@pytest.mark.parametrize("history", [0, 3, 8])
def test_the_quick_look_back_is_the_one_that_learns(history: int, jit: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not jit:
        for name, loop in (("look_back", look_back), ("look_around", look_around)):
            monkeypatch.setattr(behavior, name, getattr(loop, "py_func", loop))
    torch.manual_seed(2)
    rng = np.random.default_rng(history)
    encoder, n, users = BehaviorEncoder(5, 2), 30, 7
    ring = np.where(np.arange(8) >= 8 - history, rng.integers(1, 6, (users, 8)), 0)
    track = Acts(
        row=np.sort(rng.integers(0, users, n)),
        item=rng.integers(0, 4, n).astype(np.uint64),
        category=np.zeros(n, np.uint64),
        brand=np.zeros(n, np.uint64),
        action=rng.integers(1, 6, n),
        time_ms=10**12 + np.arange(n) * 10**7,
        gap_s=rng.random(n).astype(np.float32) * 1e5,
        numerics=np.ones((n, 2), np.float32),
        ring_item=(rng.integers(0, 4, (users, 8)) * (ring > 0)).astype(np.uint64),
        ring_action=ring,
        ring_time_ms=10**12 - rng.integers(0, 10**9, (users, 8)),
        state=rng.integers(-127, 128, (users, STATE)).astype(np.int8),
    )
    steps, asked = encoder.prepare(track), torch.randn(n, 2 * STATE)
    for i, user in enumerate(track.row):  # the ring, then the batch
        mine = np.flatnonzero(track.row[: i + 1] == user)
        items = [*track.ring_item[user], *track.item[mine]][-steps.look_action.shape[1] :]
        times = np.array([*track.ring_time_ms[user], *track.time_ms[mine]][-len(items) :])
        assert steps.look_item[i].tolist() == item_rows(np.array(items)).tolist()
        assert steps.look_action[i].tolist() == [*ring[user], *track.action[mine]][-len(items) :]
        assert steps.look_same[i].tolist() == [item == items[-1] != 0 for item in items]
        np.testing.assert_allclose(steps.look_age_s[i], (times[-1] - times).clip(0) / 1000, rtol=1e-6)
    slow = [part.detach() for part in encoder.look_back(asked, steps)]
    with torch.inference_mode():
        quick = encoder.look_back(asked, steps)
    for one, other in zip(quick, slow, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
