"""Memory between what is still in use goes back to the system."""

import subprocess
import sys

import pytest

from stream_app.worker.memory import trimmer

HOLES = """
import os
from pathlib import Path
from stream_app.worker.memory import trimmer

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

before = resident()
held = [bytearray(30_000) for _ in range(4_000)]
held = held[::50]
with_holes = resident()
assert with_holes - before > 60e6, "the C library gave it back by itself"
assert trimmer()(0) == 1
assert resident() - before < 20e6
"""


@pytest.mark.skipif(trimmer() is None, reason="no glibc")
def test_holes_between_what_is_in_use_go_back() -> None:
    subprocess.run([sys.executable, "-c", HOLES], check=True, timeout=60)


LARGE = """
import os
from pathlib import Path
from stream_app.worker.memory import keep_large_apart

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def left_by_large_ones():
    held, before = [], resident()
    for _ in range(20):
        large, small = [], []
        for _ in range(5):
            large.append(bytearray(8 << 20))
            small.append(bytearray(2_000))
        held += small
        large.append(bytearray(30 << 20))
        del large
    return resident() - before

del (first := [bytearray(31 << 20)])[:]  # glibc raises its threshold to that
kept = left_by_large_ones()
assert kept > 30e6, f"the C library gave it back by itself, all but {kept}"
keep_large_apart()
kept = left_by_large_ones()
assert kept < 10e6, kept
"""


@pytest.mark.skipif(trimmer() is None, reason="no glibc")
def test_large_arrays_leave_no_holes() -> None:
    subprocess.run([sys.executable, "-c", LARGE], check=True, timeout=60)


PAGES = """
from fusion.scorer import Scorer
from stream_app.worker.memory import keep_large_apart
from tests.benchmarks.scorer import pages
from tests.fusion.shoppers import ACTIONS, filled, shoppers

keep_large_apart()
scorer = Scorer.load(device="cpu", actions=ACTIONS)
hashes = filled(scorer.index, items=500, visits=3_000)
found = pages(scorer, [shoppers(2_048, seed=seed, hashes=hashes, words=0.2) for seed in range(3)])
assert found < 0.5, found
"""


@pytest.mark.skipif(trimmer() is None, reason="no glibc")
def test_a_batch_is_scored_in_memory_that_the_last_one_used() -> None:
    subprocess.run([sys.executable, "-c", PAGES], check=True, timeout=120)
