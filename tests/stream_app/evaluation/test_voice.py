"""The voice suite on a tiny folder of commands with a rule that can be learned, and on the real one."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from stream_app.errors import DependencyError, SettingsError
from stream_app.evaluation import Row, Run
from stream_app.evaluation.voice import HEARD_WORDS, TRUE_WORDS, voice

VERBS = {"play": "music", "query": "weather", "set": "alarm"}
FILLERS = ["please", "now", "today", "again", "for", "me", "the", "my", "a", "really", "quickly", "tomorrow"]


def write(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    with gzip.open(path, "wb") as file:
        file.writelines(orjson.dumps(line) + b"\n" for line in lines)


def commands(folder: Path, count: int = 150) -> None:
    """The noun names the scenario; the recogniser hears it in nine of ten recordings."""
    rng = np.random.default_rng(0)
    learn, heard = [], []
    for number in range(2 * count):
        action = list(VERBS)[number % 3]
        words = [*rng.choice(FILLERS, 3), VERBS[action]]
        line = {"scenario": VERBS[action], "action": action}
        if number < count:
            learn.append(line | {"sentence": " ".join(words)})
            continue
        wrong = number % 10 == 0
        asr = words[:-1] if wrong else words
        heard.append(
            line | {"slurp_id": number // 2, "ref": " ".join(words), "asr": " ".join(asr), "wer": 0.25 * wrong}
        )
    folder.mkdir()
    write(folder / TRUE_WORDS, learn)
    write(folder / HEARD_WORDS, heard)


def by_metric(rows: Sequence[Row]) -> dict[str, Row]:
    return {row.metric: row for row in rows}


def test_a_rule_is_learned_and_what_was_not_heard_is_missed(tmp_path: Path) -> None:
    commands(tmp_path / "mine")
    rows = by_metric(list(voice(Run(tmp_path, only="mine", seeds=1, quick=True, pictures=tmp_path))))
    real, clean = rows["scenario accuracy, recogniser"], rows["scenario accuracy, true words"]
    assert clean.ours > 0.95
    assert 0.85 < real.ours < 0.98
    assert rows["scenario gap"].ours == pytest.approx(clean.ours - real.ours)
    assert real.baselines["majority"] < 0.5
    assert not any(name.startswith("published") for name in real.baselines)
    assert rows["scenario accuracy, word error rate 0"].ours > 0.95
    assert rows["scenario accuracy, word error rate 0.2–0.4"].ours < 0.8
    assert all(row.interval is None or row.interval[0] <= row.ours <= row.interval[1] for row in rows.values())
    assert (tmp_path / "voice-mine-scenario-error-rate.png").stat().st_size > 5_000
    assert (tmp_path / "voice-mine-intent-confusion.png").stat().st_size > 5_000


def test_what_is_not_there_is_skipped(tmp_path: Path) -> None:
    assert list(voice(Run(tmp_path))) == []


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    commands(tmp_path / "mine", 9)
    write(tmp_path / "mine" / TRUE_WORDS, [{"sentence": "play music", "action": "play"}])
    with pytest.raises(SettingsError, match=r"devel\.jsonl\.gz: no column scenario"):
        list(voice(Run(tmp_path, only="mine")))


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    commands(tmp_path / "mine", 9)
    (tmp_path / "mine" / HEARD_WORDS).write_bytes(b"not gzip")
    with pytest.raises(DependencyError, match=r"asr_pairs\.jsonl\.gz"):
        list(voice(Run(tmp_path, only="mine")))


def test_real_recordings_lose_little(data_dir: Path) -> None:
    rows = by_metric(list(voice(Run(data_dir, quick=True))))
    real = rows["scenario accuracy, recogniser"]
    assert real.ours > real.baselines["majority"] + 0.3
    assert rows["scenario gap"].ours < 0.08
