"""A real Apache Kafka in a child process: one node, KRaft, 127.0.0.1 only. Imports no Kafka client."""

import logging
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Self

from stream_app.broker.config import Config
from stream_app.broker.jars import cache_folder, fetch_jars, read_lock
from stream_app.broker.java import JavaCommand, find_java
from stream_app.broker.probe import cluster_id
from stream_app.broker.process import HOST, free_ports, is_free, is_locked, last_useful_line, launch
from stream_app.broker.security import Security, make_certificate
from stream_app.errors import DependencyError

READY_S = 60.0
STOP_S = 60.0  # a clean stop takes 0.3 s, and some 6 s once, when the ahead-of-time cache is made


log = logging.getLogger(__name__)


class EmbeddedBroker:
    """One Kafka node as a context manager; not thread-safe; `start` and `stop` block.

    `data` keeps the topics between starts; without it they lie in a temporary folder that `close` removes.
    `notify` hears of work that takes long (the first download).
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
        self.data = data.resolve() if data else Path(tempfile.mkdtemp(prefix="stream-app-broker-"))
        free, internal, controller = free_ports(3)
        self._config = Config(
            data=self.data,
            port=port or free,
            internal_port=internal,
            controller_port=controller,
            partitions=partitions,
            security=security or Security(),
        )
        self._notify = notify
        self._process: subprocess.Popen[bytes] | None = None
        self._java: JavaCommand | None = None

    @property
    def url(self) -> str:
        """host:port of the client listener, with the `security` asked for."""
        return f"{HOST}:{self._config.port}"

    @property
    def internal_url(self) -> str:
        """host:port of the plaintext listener where nobody is refused: for administration in tests."""
        return f"{HOST}:{self._config.internal_port}"

    @property
    def authority(self) -> Path:
        """PEM file a client trusts when `security.tls` is on."""
        return self.data / "keys" / "ca.pem"

    @property
    def log_file(self) -> Path:
        """What the broker printed, warnings and worse."""
        return self.data / "broker.log"

    @property
    def pid(self) -> int | None:
        """Process id of the broker, None when stopped."""
        return self._process.pid if self._process else None

    def alive(self) -> bool:
        """The child process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Fetch what is missing, format an empty data folder, start Kafka and wait until it answers."""
        if self.alive():
            raise DependencyError("the embedded broker is already running")
        if is_locked(self.data / "log" / ".lock"):
            raise DependencyError(f"another broker uses {self.data}")
        if not is_free(self._config.port):
            raise DependencyError(f"port {self._config.port} is already in use")
        self.data.mkdir(parents=True, exist_ok=True)
        if self.log_file.exists():
            self.log_file.replace(self.data / "broker.log.1")
        java, cache = find_java(), cache_folder()
        jars = fetch_jars(cache / "jars", read_lock(), self._notify)
        self._java = JavaCommand(java, jars, cache)
        if self._config.security.tls:
            make_certificate(java.with_name("keytool"), self.authority)
        properties = self._config.write()
        identity = self._format(self._java, properties)
        log4j = f"-Dlog4j2.configurationFile={self.data / 'log4j2.properties'}"
        options = (log4j, *self._java.training())
        self._process = launch(self._java("kafka.Kafka", str(properties), options=options), self.log_file)
        self._wait_ready(identity)
        return self

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when that takes too long; the data stays."""
        if not self._process:
            return
        if self._java and self._java.training():
            self._notify("making the start of Kafka faster (6 s, once)")
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reap(self._process)

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, as in a crash."""
        if self._process:
            self._process.kill()
            self._reap(self._process)

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nobody answers."""
        if self._process:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        if self._process:
            self._process.send_signal(signal.SIGCONT)

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

    def __exit__(self, *_: object) -> None:
        self.close()

    def _reap(self, process: subprocess.Popen[bytes]) -> None:
        ended = process.wait()
        self._process = None
        if self._java:
            self._java.keep_cache(complete=ended == 128 + signal.SIGTERM)

    def _format(self, java: JavaCommand, properties: Path) -> str:
        """Cluster id of the data folder, which is formatted with a fresh one when it is new."""
        known = self.data / "log" / "meta.properties"
        if known.exists():
            lines = known.read_text("utf-8").splitlines()
            return next(line.split("=", 1)[1] for line in lines if line.startswith("cluster.id="))
        identity = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        arguments = ["format", f"--cluster-id={identity}", f"--config={properties}"]
        arguments += self._config.security.format_arguments()
        with self.log_file.open("ab") as output:
            command = java("kafka.tools.StorageTool", *arguments)
            ended = subprocess.run(command, stdout=output, stderr=output)
        if ended.returncode:
            raise DependencyError(f"cannot format {self.data}: {last_useful_line(self.log_file)}")
        return identity

    def _wait_ready(self, identity: str) -> None:
        deadline = time.monotonic() + READY_S
        open_port = self._config.port if self._config.security.protocol == "PLAINTEXT" else None
        while self.alive() and time.monotonic() < deadline:
            if cluster_id(HOST, open_port or self._config.internal_port) == identity:
                return
            time.sleep(0.05)
        reason = "did not answer in time" if self.alive() else "ended"
        self.kill()
        raise DependencyError(f"the embedded broker {reason}: {last_useful_line(self.log_file)} ({self.log_file})")
