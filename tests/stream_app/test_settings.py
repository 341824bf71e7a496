from pathlib import Path

import pytest

from stream_app.errors import SettingsError
from stream_app.settings import load


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text)
    return path


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, '[broker]\nurl = "file:1"\n[topics]\nprefix = "file."\npartitions = 3\n')
    monkeypatch.setenv("STREAM_APP_BROKER__URL", "environment:1")
    monkeypatch.setenv("STREAM_APP_TOPICS__PREFIX", "environment.")

    settings = load(path, topics__prefix="command.", broker__url=None)

    assert settings.broker.url == "environment:1"
    assert settings.topics.prefix == "command."
    assert settings.topics.partitions == 3


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[broker]\nurll = 'x'", "broker.urll"),
        ("[topics]\npartitions = 'many'", "topics.partitions"),
        ("[pipeline]\nbatch_events = 0", "pipeline.batch_events"),
        ("[nothing]\nx = 1", "nothing"),
    ],
)
def test_a_wrong_key_or_type_stops_the_start_up_by_name(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(SettingsError, match=f"setting {named}"):
        load(written(tmp_path, text))


@pytest.mark.parametrize("name", ["STREAM_APP_BROKER__URLL", "STREAM_APP_BROKR__URL", "STREAM_APP_PARTITIONS"])
def test_a_typo_in_the_environment_stops_the_start_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "x")

    with pytest.raises(SettingsError, match=name):
        load()


def test_a_missing_or_broken_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml: No such file"):
        load(tmp_path / "absent.toml")
    with pytest.raises(SettingsError, match=r"settings\.toml"):
        load(written(tmp_path, "[broker"))


def test_secrets_are_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_APP_BROKER__PASSWORD", "hunter2")
    monkeypatch.setenv("STREAM_APP_WEB__TOKEN", "hunter2")

    assert "hunter2" not in repr(load()) + str(load()) + load().model_dump_json()
