"""Jars, above all of Apache Kafka: fetched once through jgo, checked against a committed lock at every start."""

import fcntl
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from stream_app.errors import DependencyError

ROOTS = ("org.apache.kafka:kafka_2.13:4.3.1", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4")


class Jar(NamedTuple):
    """One line of the lock: the file's sha256 and its Maven coordinate group:artifact:version."""

    sha256: str
    coordinate: str

    @property
    def name(self) -> str:
        """File name as Maven writes it."""
        return "-".join(self.coordinate.split(":")[1:]) + ".jar"

    def path(self, repository: Path) -> Path:
        """Where the jar lies in a Maven repository folder."""
        group, artifact, version = self.coordinate.split(":")
        return repository.joinpath(*group.split("."), artifact, version, self.name)

    def intact(self, repository: Path) -> bool:
        """The file is there and is byte for byte the locked one."""
        path = self.path(repository)
        return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == self.sha256


def cache_folder() -> Path:
    """Folder for what is fetched once: STREAM_APP_DATA_DIR, else ~/.cache/stream-app."""
    return Path(os.environ.get("STREAM_APP_DATA_DIR") or Path.home() / ".cache" / "stream-app")


def read_lock() -> list[Jar]:
    """The committed lock."""
    lines = files(__package__).joinpath("jars.lock").read_text("utf-8").splitlines()
    return [Jar(*line.split()) for line in lines]


def fetch_jars(
    repository: Path, lock: list[Jar], notify: Callable[[str], object], *, of: str = "Apache Kafka (45 MB in all, once)"
) -> list[Path]:
    """Paths of the locked jars in `repository`; what is missing or broken is fetched again, once."""
    repository.mkdir(parents=True, exist_ok=True)
    with (repository / ".lock").open("w") as guard, ThreadPoolExecutor(8) as pool:
        fcntl.flock(guard, fcntl.LOCK_EX)  # two processes may start on an empty cache
        intact = list(pool.map(lambda jar: jar.intact(repository), lock))
        missing = [jar for jar, good in zip(lock, intact, strict=True) if not good]
        if missing:
            notify(f"fetching {of}: {len(missing)} jars")
            context = _maven(repository)
            list(pool.map(lambda jar: _fetch(jar, repository, context), missing))
    return [jar.path(repository) for jar in lock]


def _maven(repository: Path) -> Any:
    try:
        from jgo.maven import MavenContext
    except ImportError as error:
        raise DependencyError("jars are fetched with jgo: pip install 'stream-app[local]'") from error
    return MavenContext(repo_cache=repository, timeout=60)


def _fetch(jar: Jar, repository: Path, context: Any) -> None:
    group, artifact, version = jar.coordinate.split(":")
    jar.path(repository).unlink(missing_ok=True)
    try:
        context.project(group, artifact).at_version(version).artifact().resolve()
    except Exception as error:  # jgo lets through whatever its HTTP client raises
        raise DependencyError(f"cannot fetch {jar.name}: {type(error).__name__}: {error}") from error
    if not jar.intact(repository):
        jar.path(repository).unlink(missing_ok=True)
        raise DependencyError(f"{jar.name} is not the locked file (sha256 differs)")


def resolve_lock(repository: Path) -> list[Jar]:
    """A fresh lock for ROOTS; a maintainer writes it to jars.lock when Kafka's version changes."""
    from jgo.parse import Coordinate

    context = _maven(repository)
    parts = [root.split(":") for root in ROOTS]
    # raw: without it jgo treats the jars as BOMs and kafka-clients silently becomes an older version
    roots = [context.create_dependency(Coordinate(*part, scope="compile", raw=True)) for part in parts]
    inputs, transitive = context.resolver.resolve(roots)
    lock = []
    for found in [*inputs, *transitive]:
        digest = hashlib.sha256(found.artifact.resolve().read_bytes()).hexdigest()
        lock.append(Jar(digest, f"{found.groupId}:{found.artifactId}:{found.version}"))
    return sorted(lock, key=lambda jar: jar.coordinate.split(":"))
