"""Artefacts on the same events of invented shoppers."""

import pathlib

import numpy as np
import orjson
import pytest
import torch
from typer.testing import CliRunner

from fusion.checkpoint import load_checkpoint, save_checkpoint
from fusion.scorer import ARTEFACT
from stream_app.cli.model import app, short
from stream_app.evaluation.compare import rows


def test_a_model_that_knows_less_loses_and_itself_gains_nothing(tmp_path: pathlib.Path) -> None:
    model = load_checkpoint(ARTEFACT).model
    with torch.no_grad():
        for weight in model.heads["purchase"].parameters():
            weight.zero_()
        model.heads["purchase"].get_buffer("shift").zero_()
    (tmp_path / "blank").mkdir()
    save_checkpoint(model, tmp_path / "blank" / "fused.safetensors")
    asked = ["compare", str(ARTEFACT), str(tmp_path / "blank" / "fused.safetensors")]
    asked += ["--data", str(tmp_path), "--set", "simulated", "--quick", "--json"]
    done = CliRunner().invoke(app, asked, catch_exceptions=False)
    found = {row["metric"]: row for row in map(orjson.loads, done.stdout.splitlines())}
    assert found["purchase_auc"]["baselines"]["blank"] == pytest.approx(0.5)
    assert found["purchase_auc"]["ours"] > 0.6
    gain = found["purchase_auc_gain_over_blank"]
    assert gain["ours"] == pytest.approx(found["purchase_auc"]["ours"] - 0.5)
    assert gain["interval"][0] > 0
    assert found["anomaly_auc_gain_over_blank"]["ours"] == 0, "its other heads are the same"


def test_too_few_that_happened_are_not_judged() -> None:
    label, user = np.zeros(400, np.float32), np.arange(400) // 4
    score = np.full((2, 400), 0.1)
    label[:29] = 1
    assert not list(rows("mine", "churn", [(label, user, score)], ["a", "b"]))
    label[:30] = 1
    assert len(list(rows("mine", "churn", [(label, user, score)], ["a", "b"]))) == 10


def test_an_artefact_is_named_by_its_folder_where_that_tells_it_apart() -> None:
    paths = ["a/fused.safetensors", "b/fused.safetensors"]
    assert [short(path, paths) for path in paths] == ["a", "b"]
    paths = ["a/one.safetensors", "a/two.safetensors"]
    assert [short(path, paths) for path in paths] == paths
