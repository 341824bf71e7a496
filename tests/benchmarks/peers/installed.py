"""The peers as they can be started: each in an environment of its own, made once from a lock of exact versions."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from stream_app.broker.jars import cache_folder, fetch_jars
from stream_app.errors import DependencyError
from tests.benchmarks.windows_turn import System

HERE = Path(__file__).parent
AT_LEAST_ONCE = "at least once"


class AbsentError(Exception):
    """The peer cannot be installed here; the message says why."""


def peer(name: str) -> System:
    """How to start a peer, installed first when it is not yet. Raises AbsentError."""
    return PEERS[name](name)


def _python(lock: str) -> str:
    """The interpreter of the environment that the lock describes."""
    path = HERE / f"{lock}.txt"
    digest = hashlib.sha256(path.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = cache_folder() / "peers" / f"{lock}-{digest}"
    python = folder / "bin" / "python"
    if (folder / "complete").exists():
        return str(python)
    shutil.rmtree(folder, ignore_errors=True)
    install = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "-r",
        str(path),
    ]
    for command in ([sys.executable, "-m", "venv", str(folder)], install):
        ended = subprocess.run(command, capture_output=True, text=True)
        if ended.returncode:
            raise AbsentError(_reason(ended.stderr or ended.stdout))
    (folder / "complete").touch()
    return str(python)


def _reason(text: str) -> str:
    """The last line that says something, without addresses."""
    lines = [line.strip() for line in text.splitlines() if "error" in line.lower()] or text.strip().splitlines()
    return re.sub(r"\w+://\S+", "…", lines[-1]) if lines else "it said nothing"


def _script(file: str, lock: str, guarantee: str, *arguments: str, **environment: str) -> Callable[[str], System]:
    def build(name: str) -> System:
        return System(name, (_python(lock), str(HERE / file), *arguments), guarantee, environment)

    return build


def _bytewax(name: str) -> System:
    python = _python("bytewax")
    line = (
        f'mkdir -p "$BENCH_FOLDER/state" && "{python}" -m bytewax.recovery "$BENCH_FOLDER/state" 1 && '
        f'exec "{python}" -m bytewax.run bytewax_app -r "$BENCH_FOLDER/state" -s 10 -b 0'
    )
    guarantee = "at least once: snapshots to SQLite every 10 s"
    return System(name, ("bash", "-c", line), guarantee, {"PYTHONPATH": str(HERE)})


def _kafka_streams(guarantee: str, words: str) -> Callable[[str], System]:
    def build(name: str) -> System:
        classes, path = _compiled()
        command = ("java", "-Xmx1g", "-cp", f"{classes}{os.pathsep}{path}", "ClickWindows")
        return System(name, command, words, {"BENCH_GUARANTEE": guarantee})

    return build


def _compiled() -> tuple[Path, str]:
    """The folder of the compiled class, and the class path of the locked jars. A JDK is needed."""
    from stream_app.broker.jars import Jar

    source, lock = HERE / "ClickWindows.java", HERE / "kafka-streams.txt"
    for program in ("java", "javac"):
        if not shutil.which(program):
            raise AbsentError(f"no {program} on the path")
    cache = cache_folder() / "peers"
    try:
        jars = fetch_jars(cache / "jars", [Jar(*line.split()) for line in lock.read_text().splitlines()], print)
    except DependencyError as error:
        raise AbsentError(_reason(str(error))) from error
    path = os.pathsep.join(map(str, jars))
    folder = cache / f"kafka-streams-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}"
    if not (folder / "ClickWindows.class").exists():
        ended = subprocess.run(["javac", "-cp", path, "-d", str(folder), str(source)], capture_output=True, text=True)
        if ended.returncode:
            raise AbsentError(_reason(ended.stderr))
    return folder, path


FAUST = ("worker", "-l", "error", "--without-web")
PEERS: dict[str, Callable[[str], System]] = {
    "aiokafka": _script("aiokafka_loop.py", "aiokafka", "at least once; its state dies with it"),
    "faust": _script("faust_event.py", "faust", f"{AT_LEAST_ONCE}; table with a changelog", *FAUST),
    "faust-take": _script("faust_take.py", "faust", f"{AT_LEAST_ONCE}; table with a changelog", *FAUST),
    "quix": _script("quix_app.py", "quix", "exactly once; RocksDB and changelog", BENCH_GUARANTEE="exactly-once"),
    "quix-at-least-once": _script(
        "quix_app.py", "quix", f"{AT_LEAST_ONCE}; RocksDB and changelog", BENCH_GUARANTEE="at-least-once"
    ),
    "bytewax": _bytewax,
    "kafka-streams": _kafka_streams("exactly_once_v2", "exactly once; RocksDB and changelog"),
    "kafka-streams-at-least-once": _kafka_streams("at_least_once", f"{AT_LEAST_ONCE}; RocksDB and changelog"),
}
