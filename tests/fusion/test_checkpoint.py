"""Only whole models come back from disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fusion.checkpoint import FORMAT, MAX_BYTES, load_checkpoint, save_checkpoint
from fusion.errors import CheckpointError
from fusion.model import FusedModel, ModelConfig
from fusion.scorer import ARTEFACT


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    torch.manual_seed(0)
    save_checkpoint(FusedModel(ModelConfig(version="7", actions=("a", "b"), segments=("x", "y"))), path)
    return path


def test_what_is_saved_comes_back(saved: Path, tmp_path: Path) -> None:
    first = load_checkpoint(saved)
    assert first.model.config == ModelConfig(version="7", actions=("a", "b"), segments=("x", "y"))
    again = tmp_path / "again.safetensors"
    save_checkpoint(first.model, again)
    for name, tensor in load_checkpoint(again).model.state_dict().items():
        torch.testing.assert_close(tensor, first.model.state_dict()[name], atol=1e-3, rtol=1e-2)


def test_the_digest_is_of_the_file(saved: Path, tmp_path: Path) -> None:
    model = load_checkpoint(saved).model
    digest = save_checkpoint(model, tmp_path / "a.safetensors")
    assert digest == load_checkpoint(tmp_path / "a.safetensors").digest
    model.config = replace(model.config, version="8")
    assert save_checkpoint(model, tmp_path / "b.safetensors") != digest


@pytest.mark.parametrize("damage", ["missing", "text", "cut", "foreign", "tensor", "nan", "config"])
def test_anything_else_is_refused_in_one_line(damage: str, saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    tensors = load_file(saved)
    metadata = {"format": FORMAT, "config": json.dumps(ModelConfig(actions=("a", "b"), segments=("x", "y")).document())}
    if damage == "text":
        path.write_text("not a model")
    elif damage == "cut":
        path.write_bytes(saved.read_bytes()[:5000])
    elif damage == "foreign":
        save_file(tensors, path, {"format": "pt"})
    elif damage == "tensor":
        save_file({k: v for k, v in tensors.items() if k != "fusion.absent"}, path, metadata)
    elif damage == "nan":
        save_file(tensors | {"fusion.absent": tensors["fusion.absent"] * float("nan")}, path, metadata)
    elif damage == "config":
        save_file(tensors, path, metadata | {"config": '{"unknown": 1}'})
    with pytest.raises(CheckpointError, match=r"bad\.safetensors") as refused:
        load_checkpoint(path)
    assert "\n" not in str(refused.value)


def test_the_shipped_artefact_is_whole_and_small() -> None:
    assert ARTEFACT.stat().st_size <= MAX_BYTES
    checkpoint = load_checkpoint(ARTEFACT)
    card = (ARTEFACT.parent / "MODEL_CARD.md").read_text("utf-8")
    assert checkpoint.digest in card, "the card is of another model"
