"""CPU time and memory of process trees, from /proc (Linux)."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

TICKS = os.sysconf("SC_CLK_TCK")
PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def tree(pid: int) -> list[int]:
    """The process and all its living descendants."""
    found, at = [pid], 0
    while at < len(found):
        for task in _names(Path(f"/proc/{found[at]}/task")):
            try:
                found += map(int, Path(f"/proc/{found[at]}/task/{task}/children").read_text().split())
            except OSError:
                continue
        at += 1
    return found


def cpu_s(pid: int) -> float:
    """User and system time of the tree so far, seconds, with the children it has waited for."""
    total = 0
    for one in tree(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(map(int, fields[11:15]))
    return total / TICKS


def resident_mib(pid: int) -> float:
    """Resident memory of the tree now."""
    pages = 0
    for one in tree(pid):
        try:
            pages += int(Path(f"/proc/{one}/statm").read_text().split()[1])
        except OSError:
            continue
    return pages * PAGE_MIB


class Watch:
    """Samples what trees of processes use, on a thread; ask afterwards what they had used at a time."""

    def __init__(self, pids: Sequence[int], *, every_s: float = 0.05, clock: Callable[[], float] = time.time) -> None:
        self._pids, self._every_s, self._clock = list(pids), every_s, clock
        self._samples: list[tuple[float, ...]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.peak_mib = [0.0] * len(self._pids)

    def __enter__(self) -> Watch:
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()

    def cpu_s(self, which: int, from_s: float, until_s: float) -> float:
        """CPU seconds of one tree between two clock times, linear between samples."""
        samples = np.array(self._samples)
        start, end = np.interp([from_s, until_s], samples[:, 0], samples[:, which + 1])
        return float(end - start)

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self._sample()

    def _sample(self) -> None:
        self._samples.append((self._clock(), *(cpu_s(pid) for pid in self._pids)))
        self.peak_mib = [max(peak, resident_mib(pid)) for peak, pid in zip(self.peak_mib, self._pids, strict=True)]


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
