"""A broken artefact is refused with its reason, before it scores anything."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file, save_file

from fusion.model import FusedModel
from fusion.scorer import ARTEFACT
from stream_app.events import ACTIONS
from stream_app.models.artefact import RefusedError, Served, digest_of, made_with, serve
from stream_app.models.change import Artefact
from stream_app.models.life import load_configured
from stream_app.settings import Settings, load
from tests.stream_app.models.variants import other_encoders, other_heads, variant


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load(model__folder=tmp_path_factory.mktemp("models"), model__device="cpu")


@pytest.fixture(scope="module")
def running(settings: Settings) -> Served:
    return load_configured(settings)


def folder(settings: Settings) -> Path:
    assert settings.model.folder is not None
    return settings.model.folder


def named(path: Path) -> Artefact:
    return Artefact(digest=digest_of(path), path=path.name)


def missing(folder: Path) -> Artefact:
    return Artefact(digest="0" * 64, path="nowhere.safetensors")


def outside(folder: Path) -> Artefact:
    return Artefact(digest=digest_of(ARTEFACT), path=f"../{folder.name}/../{ARTEFACT.name}")


def absolute(folder: Path) -> Artefact:
    return Artefact(digest=digest_of(ARTEFACT), path=str(ARTEFACT))


def linked(folder: Path) -> Artefact:
    (folder / "link.safetensors").symlink_to(ARTEFACT)
    return Artefact(digest=digest_of(ARTEFACT), path="link.safetensors")


def changed(folder: Path) -> Artefact:
    return msgspec.structs.replace(variant(folder, "changed"), digest="f" * 64)


def pickled(folder: Path) -> Artefact:
    (folder / "pickled.safetensors").write_bytes(pickle.dumps({"weights": [1, 2, 3]}))
    return named(folder / "pickled.safetensors")


def by_name(folder: Path) -> Artefact:
    (folder / "model.pt").write_bytes(b"anything")
    return named(folder / "model.pt")


def cut_short(folder: Path) -> Artefact:
    (folder / "short.safetensors").write_bytes(ARTEFACT.read_bytes()[:100_000])
    return named(folder / "short.safetensors")


def misshapen(folder: Path) -> Artefact:
    from safetensors import safe_open

    with safe_open(ARTEFACT, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(ARTEFACT)
    name = next(name for name, tensor in tensors.items() if tensor.dim() == 2 and name.startswith("fusion."))
    save_file(tensors | {name: torch.zeros(3, 3)}, folder / "misshapen.safetensors", metadata)
    return named(folder / "misshapen.safetensors")


def not_finite(folder: Path) -> Artefact:
    def spoil(model: FusedModel) -> None:
        next(model.fusion.parameters()).fill_(float("nan"))

    return variant(folder, "nan", spoil)


def forgetful(folder: Path) -> Artefact:
    return variant(folder, "forgetful", history=16)


def mute(folder: Path) -> Artefact:
    return variant(folder, "mute", actions=ACTIONS[:-1])


def foreign(folder: Path) -> Artefact:
    return variant(folder, "foreign", actions=(*ACTIONS[:-1], "teleport"))


def few(folder: Path) -> Artefact:
    return variant(folder, "few", segments=("one", "two"))


BROKEN = {
    missing: "missing",
    outside: "path",
    absolute: "path",
    linked: "path",
    changed: "digest",
    by_name: "path",
    pickled: "artefact",
    cut_short: "artefact",
    misshapen: "artefact",
    not_finite: "artefact",
    forgetful: "layout",
    mute: "actions",
    foreign: "actions",
    few: "segments",
}


@pytest.mark.parametrize(("broken", "reason"), BROKEN.items(), ids=lambda value: getattr(value, "__name__", value))
def test_a_broken_artefact_is_refused(
    settings: Settings, running: Served, broken: Callable[[Path], Artefact], reason: str
) -> None:
    with pytest.raises(RefusedError) as caught:
        serve(settings, broken(folder(settings)), running=running)
    assert caught.value.reason == reason
    assert "\n" not in str(caught.value)


def test_a_file_larger_than_any_model_is_not_read(settings: Settings) -> None:
    path = folder(settings) / "large.safetensors"
    with path.open("wb") as file:
        file.truncate(1 << 30)

    with pytest.raises(RefusedError, match="more than") as caught:
        digest_of(path)
    assert caught.value.reason == "size"


def test_a_predictions_artefact_is_found_by_its_digest(settings: Settings, running: Served) -> None:
    made = variant(folder(settings), "found", other_heads)

    assert made_with(settings, made.digest) == folder(settings) / "found.safetensors"
    assert made_with(settings, running.info.digest) == made_with(settings, "0" * 64) == ARTEFACT


def test_models_that_carry_users_alike_share_a_memory_and_others_do_not(settings: Settings, running: Served) -> None:
    heads = serve(settings, variant(folder(settings), "heads", other_heads), running=running)
    encoders = serve(settings, variant(folder(settings), "encoders", other_encoders), running=running)

    assert heads.memory == running.memory != encoders.memory
    assert len({running.info.digest, heads.info.digest, encoders.info.digest}) == 3
    assert heads.label == f"heads-{heads.info.digest[:8]}"
