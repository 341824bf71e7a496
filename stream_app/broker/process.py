"""Child processes and ports of the embedded broker: nothing here knows Kafka."""

import fcntl
import os
import random
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

HOST = "127.0.0.1"
_CAUSE = re.compile(r"^(Caused by: )?[\w.$]+(Exception|Error): ")
_LOUD = re.compile(r"\b(ERROR|FATAL|Error)\b")
# asks the kernel (PR_SET_PDEATHSIG) to kill the child with its parent, then becomes the child
_LAUNCHER = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


def launch(command: list[str], output: Path) -> subprocess.Popen[bytes]:
    """Start a child that dies with this process and appends to `output`, in a session of its own."""
    started: list[subprocess.Popen[bytes]] = []
    ready = threading.Event()

    def own() -> None:  # the kernel counts the starting thread as the parent: it lives as long as the child
        try:
            with output.open("ab") as sink:
                launcher = [sys.executable, "-ISc", _LAUNCHER, str(os.getpid()), *command]
                child = subprocess.Popen(
                    launcher, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
                )
            started.append(child)
        finally:
            ready.set()
        child.wait()

    threading.Thread(target=own, name="embedded-broker", daemon=True).start()
    ready.wait()
    return started[0]


def free_ports(count: int) -> list[int]:
    """Distinct ports, free now and below the kernel's ephemeral range, so that a restart finds them free."""
    candidates = random.sample(range(15_000, 32_000), 1_000)
    return [port for port in candidates if is_free(port)][:count]


def is_free(port: int) -> bool:
    """Nobody listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def last_useful_line(path: Path) -> str:
    """The line of a log that says best what went wrong: the last cause, else error, else line."""
    lines = [line.strip() for line in path.read_text("utf-8", errors="replace").splitlines() if line.strip()]
    for pattern in (_CAUSE, _LOUD):
        if found := [line for line in lines if pattern.search(line)]:
            return found[-1]
    return lines[-1] if lines else "no output"


def is_locked(path: Path) -> bool:
    """Another process holds a POSIX lock on this file (as Kafka does on its data folders)."""
    if not path.exists():
        return False
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
