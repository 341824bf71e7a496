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
