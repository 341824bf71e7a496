"""The session kNN against its rules: order alone counts, memory is bounded, both runtimes agree."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fusion.session_knn import KnnSettings, SessionKnn

T0 = 1_700_000_000_000
SMALL = KnnSettings(max_items=40, sessions=16, length=4, ring=4, sample=4, neighbors=6, breadth=4, span=3)
Event = tuple[int, int, int]  # item, session, seconds after T0


def hash_of(number: int) -> int:
    return number * 0x9E3779B97F4A7C15 % 2**64


def keys(numbers: object) -> NDArray[np.uint64]:
    return np.asarray(numbers, np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def learned(events: list[Event], cuts: tuple[int, ...] = (), chosen: KnnSettings = SMALL) -> SessionKnn:
    knn = SessionKnn(chosen)
    for a, b in pairwise([0, *sorted(cuts), len(events)]):
        item, session, after_s = (np.array([e[i] for e in events[a:b]], np.int64) for i in range(3))
        knn.learn(keys(item), keys(session), T0 + 1000 * after_s, np.ones(b - a))
    return knn


def ask(knn: SessionKnn, *recent: int, k: int = 3) -> list[int]:
    rows, _ = knn.recommend(keys([recent]), k)
    names = {hash_of(number): number for number in range(1000)}
    return [names[int(knn.hashes[row])] for row in rows[0] if row >= 0]


def visits(*sessions: tuple[int, ...], first: int = 100) -> list[Event]:
    return [(item, first + at, 10 * step) for at, session in enumerate(sessions) for step, item in enumerate(session)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 70), st.integers(1, 12), st.integers(0, 10**8)), min_size=1, max_size=300),
    st.lists(st.integers(0, 300), max_size=12),
)
def test_the_answer_does_not_depend_on_how_events_were_grouped(events: list[Event], cuts: list[int]) -> None:
    whole, parts = learned(events), learned(events, tuple(min(cut, len(events)) for cut in cuts))
    recent = keys([[a, b] for a in range(8) for b in range(8)])
    for left, right in zip(whole.recommend(recent, 5), parts.recommend(recent, 5), strict=True):
        np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(whole.hashes, parts.hashes)
    np.testing.assert_array_equal(whole.rows(whole.hashes), np.arange(len(whole)))
    assert len(whole) <= SMALL.max_items


def test_a_session_that_shares_more_items_weighs_more() -> None:
    knn = learned(visits((1, 2, 5), (1, 6), (2, 7)), chosen=KnnSettings(repeat_weight=0, covisit_weight=0))
    assert ask(knn, 1, 2, k=1) == [5]


def test_items_near_and_after_the_shared_one_come_first() -> None:
    knn = learned(visits((4, 1, 2, 3), (9,)), chosen=KnnSettings(repeat_weight=0, covisit_weight=0))
    assert ask(knn, 1) == [2, 3, 4]


def test_both_runtimes_agree() -> None:
    """The kernels as plain Python give the same numbers to the last bit."""
    program = (
        "import numpy as np; from fusion.session_knn import *;"
        "from fusion.session_kernels import rerank;"
        "rng = np.random.default_rng(5);"
        "knn = SessionKnn(KnnSettings(max_items=100, sessions=64, ring=8, sample=8, half_life_ms=100_000));"
        "event = rng.integers(1, 2**63, 300).astype(np.uint64)[rng.zipf(1.4, 2000) % 300];"
        "session, strength = rng.integers(1, 40, 2000).astype(np.uint64), rng.integers(1, 4, 2000) + 0.5;"
        "kind = rng.integers(0, 9, 2000).astype(np.uint64);"
        "knn.learn(event, session, np.arange(2000) * 900, strength, category=kind);"
        "rows, scores = knn.recommend(rng.choice(event, (50, 7)), 10, category=kind[:50]);"
        "vectors, towards = (rng.random((size, 64), np.float32) for size in (100, 50));"
        "best, total = np.full((50, 5), -1), np.zeros((50, 5), np.float32);"
        "rerank(rows, scores, vectors, towards, 0.1, best, total);"
        "print(rows.tolist(), scores.view(np.int32).tolist(), best.tolist(), total.view(np.int32).tolist());"
        "print(knn.hashes.tolist(), knn.forgotten)"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "NUMBA_DISABLE_JIT": off},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for off in ("0", "1")
    ]
    assert said[0] == said[1]
    assert said[0].strip().endswith(tuple("123456789"))


@pytest.mark.parametrize("wrong", [{"sessions": 100}, {"ring": 3}, {"sample": 1000}, {"breadth": 60}])
def test_sizes_that_do_not_fit_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="powers of two"):
        KnnSettings(**wrong)
