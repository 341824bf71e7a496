"""From an artefact's name to a model that is loaded, checked against the running one and warm; or a reason why not."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64

from encoders.device import device_of
from fusion.checkpoint import MAX_BYTES, load_checkpoint
from fusion.columnar_json import Fields, rows
from fusion.errors import CheckpointError
from fusion.features import NO_ACTION, NO_TRACK, NUMERICS, TRACKS, FeatureBatch
from fusion.model import FusedModel, ModelConfig
from fusion.recommender import ItemIndex
from fusion.scorer import ARTEFACT, Scorer
from stream_app.errors import StreamAppError
from stream_app.events import ACTIONS
from stream_app.models.change import Artefact
from stream_app.models.metrics import Reason
from stream_app.outputs.prediction import ModelInfo
from stream_app.settings import Settings

SUFFIX = ".safetensors"
FOREIGN = ("heads.", "fusion.")
"""Weights that do not shape what is carried of a user from batch to batch."""


class RefusedError(StreamAppError):
    """An artefact that must not serve; `reason` is one of REASONS."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Served:
    """A model ready to score. Two models with the same `memory` understand each other's carried states."""

    scorer: Scorer
    config: ModelConfig
    named: Artefact
    memory: int
    position: int = -1  # offset of the control record that named it; -1: the settings did

    @property
    def info(self) -> ModelInfo:
        """As predictions name it."""
        return ModelInfo(*self.scorer.model)

    @property
    def label(self) -> str:
        """As metrics name it."""
        return label_of(self.scorer)


def label_of(scorer: Scorer) -> str:
    """Version and the digest's first digits."""
    return f"{scorer.model.version}-{scorer.model.digest[:8]}"


def folder_of(settings: Settings) -> Path:
    """Where artefacts may lie."""
    return settings.model.folder or settings.data_dir / "models"


def configured(settings: Settings) -> Path:
    """The artefact that the settings name, which serves until the control topic names another."""
    return settings.model.path or ARTEFACT


def made_with(settings: Settings, digest: str) -> Path:
    """The artefact of a prediction, by its digest: below the model folder, else the one that the settings name."""
    folder = folder_of(settings)
    for path in sorted(folder.rglob(f"*{SUFFIX}")) if folder.is_dir() else []:
        with suppress(RefusedError):
            if digest_of(file_of(settings, str(path.relative_to(folder)))) == digest:
                return path
    return configured(settings)


def digest_of(path: Path) -> str:
    """sha256 of a file; RefusedError where there is none, or it is larger than any model."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RefusedError("size", f"{path.name}: more than {MAX_BYTES} bytes")
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise RefusedError("missing", f"{path.name}: {error.strerror}") from error


def file_of(settings: Settings, path: str | None) -> Path:
    """The file of an artefact's path; RefusedError for anything but a safetensors file below the model folder."""
    if path is None:
        return configured(settings)
    folder = folder_of(settings).resolve()
    if Path(path).suffix != SUFFIX or Path(path).is_absolute() or not (folder / path).resolve().is_relative_to(folder):
        raise RefusedError("path", f"{path}: not a {SUFFIX} file below {folder}")
    return folder / path


def serve(
    settings: Settings, named: Artefact, *, index: ItemIndex | None = None, running: Served | None = None
) -> Served:
    """Load, check and warm up; takes about a second and may run on any thread. Raises RefusedError.

    `running`: the model that it would replace, whose users' states it must be able to read.
    """
    path = file_of(settings, named.path)
    if (found := digest_of(path)) != named.digest:
        raise RefusedError("digest", f"{path.name}: sha256 {found[:8]}…, not {named.digest[:8]}…")
    try:
        checkpoint = load_checkpoint(path)
    except CheckpointError as error:
        raise RefusedError("artefact", str(error)) from error
    if checkpoint.digest != named.digest:
        raise RefusedError("digest", f"{path.name}: changed while it was read")

    def scorer(index: ItemIndex) -> Scorer:
        return Scorer(
            checkpoint.model,
            digest=checkpoint.digest,
            device=device_of(settings.model.device),
            actions=ACTIONS,
            recommendations=settings.model.recommendations,
            index=index,
        )

    config = checkpoint.model.config
    served = Served(scorer(ItemIndex() if index is None else index), config, named, memory_of(checkpoint.model))
    if running is not None:
        fits(served, running)
    try:
        made = scorer(ItemIndex()).score(specimen(served.scorer))  # not the shared index: the device thread is using it
        heads = served.scorer.heads
        rows(Fields({name: heads[name].render(columns) for name, columns in made.columns.items()}), len(made))
    except Exception as error:
        raise RefusedError("warm_up", f"{path.name}: {error}"[:300]) from error
    return served


def fits(new: Served, running: Served) -> None:
    """RefusedError where the new model cannot take over the users' states, or speaks of other actions."""
    ours, theirs = running.scorer, new.scorer
    if theirs.carried_dtype != ours.carried_dtype or theirs.history != ours.history:
        raise RefusedError("layout", f"{new.label}: carries users otherwise (history {theirs.history}, {ours.history})")
    foreign = set(new.config.actions) - set(ACTIONS)
    missing = set(running.config.actions) - set(new.config.actions)
    if foreign or missing:
        raise RefusedError("actions", f"{new.label}: other actions: {', '.join(sorted(foreign | missing))}")
    if len(theirs.segments) < len(ours.segments):
        raise RefusedError(
            "segments", f"{new.label}: {len(theirs.segments)} segments, users are in {len(ours.segments)}"
        )


def memory_of(model: FusedModel) -> int:
    """A fingerprint of the weights that shape carried states; never 0."""
    state = xxh3_64()
    for name, tensor in sorted(model.state_dict().items()):
        if not name.startswith(FOREIGN):
            state.update(name.encode())
            state.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return state.intdigest() or 1


def specimen(scorer: Scorer) -> FeatureBatch:
    """A strange user of four events: nothing known, a text, a voice, an unknown item."""
    n = 4

    def none(dtype: Any = np.float32, *shape: int) -> NDArray[Any]:
        return np.zeros(shape or (n,), dtype)

    said = np.array([None, "warm boots 靴子", "where is my order", None], object)
    return FeatureBatch(
        row=none(np.int64),
        event_time_ms=np.arange(n, dtype=np.int64) * 1000,
        action=np.arange(n, dtype=np.uint8) % len(ACTIONS),
        item=np.array([0, 1, 2, (1 << 64) - 1], np.uint64),
        category=none(np.uint64),
        brand=none(np.uint64),
        gap_s=np.array([-1, 1, 1, 1], np.float32),
        numerics=np.full((n, len(NUMERICS)), np.nan, np.float32),
        track=np.array([NO_TRACK, TRACKS.index("text"), TRACKS.index("voice"), NO_TRACK], np.uint8),
        text=said,
        confidence=np.array([np.nan, np.nan, 0.9, np.nan], np.float32),
        word_confidence=np.full(n, None, object),
        image=np.full(n, None, object),
        history_item=none(np.uint64, 1, scorer.history),
        history_action=np.full((1, scorer.history), NO_ACTION, np.uint8),
        history_time_ms=none(np.int64, 1, scorer.history),
        carried=np.zeros(1, scorer.carried_dtype),
    )
