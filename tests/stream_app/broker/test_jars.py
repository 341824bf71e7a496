from pathlib import Path

import pytest

from stream_app.broker.jars import Jar, cache_folder, fetch_jars, read_lock, resolve_lock
from stream_app.errors import DependencyError

SMALL = next(jar for jar in read_lock() if jar.name == "slf4j-api-1.7.36.jar")


def test_the_lock_names_every_jar_once() -> None:
    lock = read_lock()
    assert len(lock) == len({jar.coordinate for jar in lock}) == 46
    assert all(len(jar.sha256) == 64 for jar in lock)


def test_a_broken_download_is_fetched_again(tmp_path: Path) -> None:
    told: list[str] = []
    path = SMALL.path(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a jar")
    assert fetch_jars(tmp_path, [SMALL], told.append) == [path]
    assert SMALL.intact(tmp_path)
    assert len(told) == 1
    fetch_jars(tmp_path, [SMALL], told.append)
    assert len(told) == 1


def test_a_jar_that_differs_from_the_lock_is_refused_and_not_kept(tmp_path: Path) -> None:
    other = Jar("0" * 64, SMALL.coordinate)
    with pytest.raises(DependencyError, match=r"slf4j-api-1\.7\.36\.jar is not the locked file"):
        fetch_jars(tmp_path, [other], lambda _: None)
    assert not other.path(tmp_path).exists()


def test_without_a_network_the_missing_jar_is_named_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(DependencyError, match=r"^cannot fetch slf4j-api-1\.7\.36\.jar: ") as caught:
        fetch_jars(tmp_path, [SMALL], lambda _: None)
    assert "\n" not in str(caught.value)


@pytest.mark.kafka
def test_the_lock_is_what_kafkas_own_metadata_asks_for() -> None:
    repository = cache_folder() / "jars"
    fetch_jars(repository, read_lock(), lambda _: None)
    assert resolve_lock(repository) == read_lock()
