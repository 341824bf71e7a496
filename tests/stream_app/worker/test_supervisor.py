"""The supervisor, with real processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

CRASHING = """
import os, pathlib, sys
path = pathlib.Path(sys.argv[1])
runs = path.read_text() if path.exists() else ""
path.write_text(runs + os.environ["STREAM_APP_RESTARTS"])
sys.exit(70 if len(runs) < 2 else int(sys.argv[2]))
"""
WAITING = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path(sys.argv[1]).write_text("told"), sys.exit(0)))
print("ready", flush=True)
time.sleep(60)
"""


def supervised(script: str, *arguments: str) -> subprocess.Popen[bytes]:
    code = "import sys; from stream_app.worker.supervisor import supervise; sys.exit(supervise(sys.argv[1:]))"
    command = [sys.executable, "-c", code, sys.executable, "-c", script, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def test_a_crashed_worker_is_started_again_and_told_how_often(tmp_path: Path) -> None:
    seen = tmp_path / "runs"
    with supervised(CRASHING, str(seen), "0") as process:
        assert process.wait(30) == 0

    assert seen.read_text() == "012"


def test_wrong_settings_are_not_tried_again(tmp_path: Path) -> None:
    seen = tmp_path / "runs"
    seen.write_text("xx")
    with supervised(CRASHING, str(seen), "2") as process:
        assert process.wait(30) == 2

    assert seen.read_text() == "xx0"


def test_sigterm_reaches_the_worker_and_ends_both(tmp_path: Path) -> None:
    told = tmp_path / "told"
    with supervised(WAITING, str(told)) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0

    assert told.read_text() == "told"


def test_a_worker_told_to_end_by_somebody_else_is_not_started_again(tmp_path: Path) -> None:
    """While it starts, nothing in it heeds the signal yet."""
    script = "import os, signal, sys; open(sys.argv[1], 'a').write('x'); os.kill(os.getpid(), signal.SIGTERM)"
    with supervised(script, str(tmp_path / "runs")) as process:
        assert process.wait(30) == 0

    assert (tmp_path / "runs").read_text() == "x"


def test_the_worker_dies_with_its_supervisor(tmp_path: Path) -> None:
    with supervised(WAITING, str(tmp_path / "told")) as process:
        assert process.stdout is not None
        process.stdout.readline()
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
        process.wait(10)
        until_s = time.monotonic() + 10
        while any(_runs(int(child)) for child in children) and time.monotonic() < until_s:
            time.sleep(0.05)

    assert not any(_runs(int(child)) for child in children)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
