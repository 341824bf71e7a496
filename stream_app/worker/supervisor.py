"""Starts the worker again when it dies: its state is restored from the log, so dying is how it heals."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Sequence

log = logging.getLogger(__name__)

TOLD = frozenset((0, -signal.SIGTERM, -signal.SIGINT))
"""Ended as asked."""
WRONG_SETTINGS = 2
"""Which no restart mends."""
FIRST_PAUSE_S, LONGEST_PAUSE_S, STEADY_S = 0.2, 15.0, 10.0
RESTARTS = "STREAM_APP_RESTARTS"
INSTANCE = "STREAM_APP_BROKER__INSTANCE_ID"
_PR_SET_PDEATHSIG = 1


def supervise(command: Sequence[str]) -> int:
    """Run the command, again after every crash with a growing pause, until it ends well or we are told to stop."""
    told = threading.Event()
    child: subprocess.Popen[bytes] | None = None

    def stop(number: int, _: object) -> None:
        told.set()
        if child is not None and child.poll() is None:
            child.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    pause_s, restarts = FIRST_PAUSE_S, 0
    instance = os.environ.get(INSTANCE) or f"worker-{uuid.uuid4().hex}"
    while True:
        started_s = time.monotonic()
        environment = {**os.environ, RESTARTS: str(restarts), INSTANCE: instance}
        child = subprocess.Popen(command, env=environment, preexec_fn=_die_with_parent)
        code = child.wait()
        if code in TOLD:  # also by somebody else, and before the worker could heed it
            return 0
        if told.is_set() or code == WRONG_SETTINGS:
            return abs(code)
        if time.monotonic() - started_s > STEADY_S:
            pause_s = FIRST_PAUSE_S
        restarts += 1
        log.warning("worker ended, starting again", extra={"exit_code": code, "pause_s": pause_s, "restarts": restarts})
        if told.wait(pause_s):
            return 0
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:
        sys.exit(1)
