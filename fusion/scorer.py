"""The model as the stream sees it: features in, predictions out, in batches. One device thread calls it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoders.device import device_of
from encoders.scratch import Scratch
from encoders.tensors import fetched
from fusion.accelerator import Accelerator
from fusion.checkpoint import load_checkpoint
from fusion.device_state import Resident
from fusion.errors import NotFiniteError
from fusion.features import TIERS, FeatureBatch, PredictionBatch
from fusion.heads.protocol import Head
from fusion.heads.sentiment import LABELS
from fusion.inputs import CARRIED, MEMORIES, Inputs, Notes, Preparation
from fusion.model import MODALITIES, FusedModel
from fusion.recommender import ItemIndex
from fusion.retrieval import Retrieval
from fusion.shapley import Shapley, Together

ARTEFACT = Path(__file__).parent / "artefacts" / "fused.safetensors"
STEPS = ("prepare", "model", "columns", "shapley", "recommend", "carry")
"""Of scoring, in their order."""
ENCODERS = "text, voice or image vector: not finite"
COLD_EVENTS = 3
"""A user with fewer events than this is a cold start."""


class ModelName(NamedTuple):
    """What made a prediction."""

    name: str
    version: str
    digest: str


class Scorer:
    """Scores feature batches and carries users' states. Not thread safe.

    `heads` renders the columns of a PredictionBatch; `index` is what recommendations are drawn from.
    """

    carried_dtype = CARRIED

    def __init__(
        self,
        model: FusedModel,
        *,
        digest: str,
        device: torch.device,
        actions: Sequence[str],
        recommendations: int = 10,
        index: ItemIndex | None = None,
    ) -> None:
        self._net = model.to(device).eval()
        self._net.image.to(memory_format=torch.channels_last)  # convolutions take a third of the time so
        if device.type == "cpu":
            model.behavior.scratch = model.fusion.scratch = Scratch()
        self._device = device
        self._accelerator = Accelerator(model, device) if device.type != "cpu" else None
        self._k = recommendations
        self.model = ModelName(model.config.name, model.config.version, digest)
        self.history = model.config.history
        self.heads: Mapping[str, Head] = {name: model.head(name) for name in model.heads}
        self._actions = len(model.config.actions)
        self.segments = model.config.segments  # label of each segment id
        self.index = ItemIndex() if index is None else index  # an empty one is False
        self._retrieve = Retrieval(model.behavior.items, self.index)
        self._shares = Shapley(model.fusion, self.heads)
        self._prepare = Preparation(
            model.text, model.voice, model.image, model.behavior, known=model.config.actions, actions=actions
        )

    @property
    def device(self) -> str:
        """cpu or cuda."""
        return self._device.type

    @staticmethod
    def load(
        path: Path | None = None, *, device: str = "auto", actions: Sequence[str], recommendations: int = 10
    ) -> Scorer:
        """The model in `path`, or the one shipped here. On a CPU torch is set to one thread.

        Raises CheckpointError. `actions` is the caller's vocabulary; words that the model never saw are "other".
        """
        checkpoint = load_checkpoint(path or ARTEFACT)
        there = device_of(device)
        if there.type == "cpu":
            torch.set_num_threads(1)
        return Scorer(
            checkpoint.model,
            digest=checkpoint.digest,
            device=there,
            actions=actions,
            recommendations=recommendations,
        )

    @torch.inference_mode()
    def score(
        self,
        features: FeatureBatch,
        tier: str = "full",
        *,
        told: Callable[[str], object] = lambda _: None,
        resident: Resident | None = None,
    ) -> PredictionBatch:
        """Predictions for every event, and the users' new states.

        Raises NotFiniteError, naming the head, or with the answer to all events but those of which an encoder gave no
        number; an accelerated scorer does not look there.

        `told` hears each of STEPS when it is done. Of users that are `resident` on the device the vectors in
        `features.carried` are not read, and their rows are written; only an accelerated scorer takes them.
        """
        if tier not in TIERS:
            raise ValueError(f"unknown tier {tier!r}, not one of {', '.join(TIERS)}")
        if resident is not None and self._accelerator is None:
            raise ValueError("users are resident on a device, and the scorer has none")
        if len(features) == 0:
            return self._nothing(features, tier)
        tracks, live = self._prepare.tracks(features), None
        told("prepare")
        if self._accelerator is None:
            fresh = self._net.encode(tracks)
            told("model")
            live = tracks.live(fresh)
            refused, live = np.flatnonzero(~live), None if live.all() else live
            if len(refused) == len(features):
                raise NotFiniteError(ENCODERS, refused)
        inputs, notes = self._prepare(features, tracks=tracks, live=live, resident=resident is not None)
        told("prepare")
        drop = hidden(inputs) if tier == "behavior_only" else None
        together = Together(self._net, self._shares, notes.spoken)
        if self._accelerator is None:
            output = self._net(inputs, fresh, drop=drop, answers=together)
            made = together.columns(output.raw, self.heads)
        else:
            output, made = self._accelerator(inputs, resident, drop)
        told("model")
        made, state, memory, mask = fetched((made, output.state, output.memory, output.fused.mask), self._device)
        columns = finite(made, np.arange(len(features)) if live is None else np.flatnonzero(live))
        told("columns")
        shares = together.shares(output.views, output.fused, mask.numpy(), columns)
        told("shapley")
        del columns["recommendations"]
        if tier == "full":
            directions = made["recommendations"]["direction"]
            category = features.category if live is None else features.category[live]
            products, scores = self._retrieve(directions, notes.recent_item, self._k, category=category)
            columns["recommendations"] = {"product_id": products, "score": scores}
        told("recommend")
        carried = carry(features.carried, notes, state, memory)
        if resident is not None:
            resident.keep(notes.last, output.state, output.memory)
        told("carry")
        answer = PredictionBatch(
            columns=columns,
            modalities=shares,
            carried=carried,
            cold_start=notes.seen < COLD_EVENTS,
            index_position=self.index.position,
            tier=tier,
        )
        if live is not None:
            raise NotFiniteError(ENCODERS, refused, answer)
        return answer

    def _nothing(self, features: FeatureBatch, tier: str) -> PredictionBatch:
        names, none = ("score", "present", "label", "id", "distance"), np.zeros(0)
        columns: dict[str, dict[str, NDArray[Any]]] = {name: dict.fromkeys(names, none) for name in self.heads}
        columns["next_action"]["scores"] = np.zeros((0, self._actions))
        columns["sentiment"]["scores"] = np.zeros((0, len(LABELS)))
        columns["recommendations"] = {"product_id": np.zeros((0, self._k), object), "score": np.zeros((0, self._k))}
        return PredictionBatch(
            columns,
            np.zeros((0, len(MODALITIES)), np.float32),
            features.carried.copy(),
            np.zeros(0, bool),
            self.index.position,
            tier,
        )


def hidden(inputs: Inputs) -> Tensor:
    """(n, 4) bool: the modalities that answers from behaviour alone leave out, which not everybody has."""
    drop = (inputs.acts > 0)[:, None].repeat(1, len(MODALITIES))
    drop[:, 0] = False
    return drop


def finite(made: Mapping[str, Mapping[str, Tensor]], events: NDArray[np.int64]) -> dict[str, dict[str, NDArray[Any]]]:
    """Columns of every head as arrays; raises NotFiniteError where a number is not finite, naming the `events`."""
    columns: dict[str, dict[str, NDArray[Any]]] = {}
    wrong: dict[str, set[int]] = {}
    for name, parts in made.items():
        columns[name] = {key: value.numpy() for key, value in parts.items()}
        for value in columns[name].values():
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                wrong.setdefault(name, set()).update(np.nonzero(~np.isfinite(value))[0].tolist())
    if wrong:
        raise NotFiniteError(f"{', '.join(wrong)}: not finite", events[sorted(set.union(*wrong.values()))])
    return columns


def carry(
    before: NDArray[np.void], notes: Notes, state: Tensor, held: Mapping[str, tuple[Tensor, Tensor]]
) -> NDArray[np.void]:
    """The users' states after the batch: users without an event keep theirs."""
    after = before.copy()
    users = np.flatnonzero(notes.last >= 0)
    last = notes.last[users]
    after["state"][users] = state.numpy()[users]
    after["seen"][users] = notes.seen[last]
    after["acts"][users] = notes.acts[last]
    for name in MEMORIES:
        whole, scale = (part.numpy()[users] for part in held[name])
        memory = after[name]
        some = scale > 0
        memory["vector"][users], memory["scale"][users] = whole, scale
        memory["time_ms"][users] = np.where(some, notes.time_ms[name][last], 0)
        memory["confidence"][users] = np.where(some, notes.confidence[name][last], 0)
    return after
