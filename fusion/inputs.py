"""From feature columns to tensors: the CPU half of scoring and of training, so that both see the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from encoders.behavior import STATE, Acts, BehaviorEncoder, Steps
from encoders.image import ImageEncoder, Pictures
from encoders.protocol import VECTOR
from encoders.tensors import mapped
from encoders.voice import Heard, Utterances, VoiceEncoder
from fusion.features import NO_ACTION, PER_EVENT, TRACKS, FeatureBatch
from fusion.rhythm import rhythm

MEMORIES = ("text", "voice", "image", "opinion")
"""What is remembered of a user as a vector with its time; an opinion is the last thing reviewed or said aloud."""
SILENT = ("review", "voice")
"""Actions that are words only: they leave the behaviour modality absent where nothing else was done."""
RECENT = 10
"""Newest items of a user that recommendations are drawn from; some of them no item, or one twice."""
QUERY = "search"
"""The action whose text is no opinion."""

_MEMORY = np.dtype([("vector", "i1", (VECTOR,)), ("scale", "f4"), ("confidence", "f4"), ("time_ms", "i8")])
CARRIED = np.dtype([("state", "i1", (STATE,)), ("seen", "u4"), ("acts", "u4"), *((name, _MEMORY) for name in MEMORIES)])
"""One user between batches, 456 bytes: recurrent state in 127ths, counts, memories (scale 0 = none)."""

T = TypeVar("T")


class Remembered(NamedTuple):
    """For each position which vector its memory holds: 0..u-1 carried, u.. fresh ones of this batch."""

    pick: Tensor  # (n,) int64, -1 absent
    age_s: Tensor  # (n,) float32
    confidence: Tensor  # (n,) float32
    carried: Tensor  # (u, 64) float32
    fresh: Tensor  # (f,) int64 positions in the modality's own fresh vectors
    last: Tensor  # (u,) int64 position of each user's last event


@dataclass(frozen=True)
class Inputs:
    """One batch on its way to the device."""

    steps: Steps
    text: Any  # texts of this batch as their encoder prepares them, one per written text
    voice: Heard
    image: Pictures
    memories: dict[str, Remembered]
    acts: Tensor  # (n,) float32: what the user did so far, words aside
    gap_s: Tensor  # (n,) float32
    rhythm: Tensor  # (n, 9) float32

    def to(self, device: torch.device) -> Inputs:
        """The same on another device."""
        return Inputs(*moved(self.parts(), device))

    def parts(self) -> tuple[Any, ...]:
        """The fields."""
        return tuple(getattr(self, field.name) for field in fields(self))


class Tracks(NamedTuple):
    """What n events say and show: prepared for the encoders, and which event each vector will be of, per memory."""

    text: Any
    voice: Heard
    image: Pictures
    fresh: dict[str, NDArray[np.int64]]  # the events that have one
    place: dict[str, NDArray[np.int64]]  # (n,) which of the vectors it is
    sure: dict[str, NDArray[np.float32]]  # (n,) confidence

    def live(self, vectors: Mapping[str, Tensor]) -> NDArray[np.bool_]:
        """(n,) the events whose vectors are all finite."""
        live = np.ones(len(self.place["text"]), bool)
        for name, events in self.fresh.items():
            finite = torch.isfinite(vectors[name]).all(-1).numpy()
            live[events] &= finite[self.place[name][events]]
        return live

    def of(self, live: NDArray[np.bool_]) -> Tracks:
        """The same of some events alone, whose vectors stay where they are."""
        number = np.cumsum(live) - 1
        return self._replace(
            fresh={name: number[events[live[events]]] for name, events in self.fresh.items()},
            place={name: each[live] for name, each in self.place.items()},
            sure={name: each[live] for name, each in self.sure.items()},
        )


@dataclass(frozen=True)
class Notes:
    """What stays on the CPU: needed to write the carried state."""

    seen: NDArray[np.int64]  # (n,) events of the user up to here
    acts: NDArray[np.int64]  # (n,)
    last: NDArray[np.int64]  # (u,) each user's last event, -1 where none
    time_ms: dict[str, NDArray[np.int64]]  # per memory (n,)
    confidence: dict[str, NDArray[np.float32]]  # per memory (n,)
    recent_item: NDArray[np.uint64]  # (n, r) newest last, 0 padded
    spoken: NDArray[np.bool_]  # (n,) the opinion was said aloud


class Preparation:
    """Turns features into inputs; one per vocabulary. One thread at a time (the encoders' caches)."""

    def __init__(
        self,
        text: nn.Module,
        voice: VoiceEncoder,
        image: ImageEncoder,
        behavior: BehaviorEncoder,
        *,
        known: Sequence[str],
        actions: Sequence[str],
    ) -> None:
        self.text: Any = text  # any of TEXT_ENCODERS
        self.voice, self.image, self.behavior = voice, image, behavior
        codes = {name: code for code, name in enumerate(known, 1)}
        self.codes = np.full(256, len(known) + 1)  # "other"
        self.codes[: len(actions)] = [codes.get(name, len(known) + 1) for name in actions]
        self.codes[NO_ACTION] = 0
        self.does = np.array([name not in SILENT for name in actions] + [True] * (256 - len(actions)))
        self.asks = np.array([name == QUERY for name in actions] + [False] * (256 - len(actions)))

    def tracks(self, features: FeatureBatch, *, images: bool = True) -> Tracks:
        """What was said, heard and seen in a batch, for the encoders."""
        n = len(features)
        written, spoken = features.track == TRACKS.index("text"), features.track == TRACKS.index("voice")
        texts = self.text.prepare([features.text[i] for i in np.flatnonzero(written)])
        heard = self.voice.prepare(
            Utterances(
                features.text[spoken].tolist(), features.confidence[spoken], features.word_confidence[spoken].tolist()
            )
        )
        shown = np.array([p is not None for p in features.image], bool) & images
        pictures = self.image.prepare([features.image[i] for i in np.flatnonzero(shown)])
        wrote = np.flatnonzero(written)[texts.counts.numpy() > 0]
        spoke = np.flatnonzero(spoken)[heard.bags.counts.numpy() > 0]
        seen = np.flatnonzero(shown)
        seen = seen[np.sort(np.concatenate([pictures.pixel_position, pictures.given_position]))]
        opined = np.sort(np.concatenate([wrote[~self.asks[features.action[wrote]]], spoke]))
        sure = {"text": np.ones(n, np.float32), "voice": np.zeros(n, np.float32), "image": np.ones(n, np.float32)}
        sure["voice"][spoken] = heard.confidence.numpy()
        sure["image"][np.flatnonzero(shown)[pictures.given_position.numpy()]] = 0.5
        sure["opinion"] = np.where(spoken, sure["voice"], sure["text"])
        place = {name: np.cumsum(which) - 1 for name, which in zip(MEMORIES, (written, spoken, shown), strict=False)}
        place["opinion"] = np.where(spoken, written.sum() + place["voice"], place["text"])
        fresh = dict(zip(MEMORIES, (wrote, spoke, seen, opined), strict=True))
        return Tracks(texts, heard, pictures, fresh, place, sure)

    def __call__(
        self,
        features: FeatureBatch,
        *,
        images: bool = True,
        resident: bool = False,
        tracks: Tracks | None = None,
        live: NDArray[np.bool_] | None = None,
    ) -> tuple[Inputs, Notes]:
        """Inputs for the device and what is needed afterwards; without users' vectors where those are `resident`.

        `tracks` of these features, if known. Events that are not `live` (n,) have happened, and are only looked back
        at: the rest is of the others, as if no encoder knew of these.
        """
        users, carried = len(features.carried), features.carried
        tracks = self.tracks(features, images=images) if tracks is None else tracks
        steps = self.behavior.prepare(self.acts(features), live)
        recent = recent_items(features, RECENT)
        if live is not None:
            features, tracks, recent = part_of(features, live), tracks.of(live), recent[live]
        n = len(features)
        if n == 0:
            raise ValueError("nothing to prepare")
        row = features.row
        first = np.searchsorted(row, np.arange(users))
        last = np.searchsorted(row, np.arange(users), side="right") - 1
        last = np.where(last >= first, last, -1)
        steps = steps._replace(state=steps.state[:0]) if resident else steps
        memories: dict[str, Remembered] = {}
        times: dict[str, NDArray[np.int64]] = {}
        for name, fresh in tracks.fresh.items():
            held = remembered(features, fresh, carried[name], tracks.sure[name], resident=resident)
            memories[name] = Remembered(*held[:4], torch.from_numpy(tracks.place[name][fresh]), torch.from_numpy(last))
            times[name] = held[4]
        nth = np.arange(n) - first[row] + 1
        does = self.does[features.action]
        did = np.cumsum(does)
        acts = carried["acts"].astype(np.int64)[row] + did - (did - does)[first[row]]
        sures = {name: memory.confidence.numpy() for name, memory in memories.items()}
        aloud = (times["opinion"] == times["voice"]) & (sures["opinion"] == sures["voice"])
        notes = Notes(
            carried["seen"].astype(np.int64)[row] + nth,
            acts,
            last,
            times,
            sures,
            recent,
            aloud & (memories["voice"].pick.numpy() >= 0),
        )
        inputs = Inputs(
            steps,
            tracks.text,
            tracks.voice,
            tracks.image,
            memories,
            torch.from_numpy(acts.astype(np.float32)),
            torch.from_numpy(features.gap_s.clip(0).astype(np.float32)),
            torch.from_numpy(rhythm(features.gap_s, acts, steps.look_age_s.numpy(), steps.look_action.numpy())),
        )
        return inputs, notes

    def acts(self, features: FeatureBatch) -> Acts:
        """The behaviour encoder's track."""
        return Acts(
            row=features.row,
            item=features.item,
            category=features.category,
            brand=features.brand,
            action=self.codes[np.where(features.action == NO_ACTION, NO_ACTION - 1, features.action)],
            time_ms=features.event_time_ms,
            gap_s=features.gap_s,
            numerics=features.numerics,
            ring_item=features.history_item,
            ring_action=self.codes[features.history_action],
            ring_time_ms=features.history_time_ms,
            state=features.carried["state"],
        )


def part_of(features: FeatureBatch, live: NDArray[np.bool_]) -> FeatureBatch:
    """Some of the events of all users."""
    return replace(features, **{name: getattr(features, name)[live] for name in PER_EVENT})


def remembered(
    features: FeatureBatch,
    fresh: NDArray[np.int64],
    carried: NDArray[np.void],
    sure: NDArray[np.float32],
    *,
    resident: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor, NDArray[np.int64]]:
    """What each position remembers: the newest of the `fresh` events of its user up to it, else the carried one.

    The first four parts of Remembered, and the times.
    """
    row, users = features.row, len(carried)
    at = np.full(len(row), -1)
    at[fresh] = np.arange(len(fresh))
    at = np.maximum.accumulate(at)  # newest fresh vector so far, of anybody
    source = np.append(fresh, -1)[at]
    mine = (at >= 0) & (row[source] == row)
    pick = np.where(mine, users + at, np.where(carried["scale"][row] > 0, row, -1))
    time_ms = np.where(mine, features.event_time_ms[source], carried["time_ms"][row])
    confidence = np.where(mine, sure[source], carried["confidence"][row]) * (pick >= 0)
    age_s = (features.event_time_ms - time_ms).clip(0) / 1000 * (pick >= 0)
    brought = carried[:0] if resident else carried
    vectors = brought["vector"].astype(np.float32) * brought["scale"][:, None]
    parts = (pick, age_s.astype(np.float32), confidence.astype(np.float32), vectors)
    return (*(torch.from_numpy(part) for part in parts), time_ms)  # type: ignore[return-value]


def recent_items(features: FeatureBatch, count: int) -> NDArray[np.uint64]:
    """The last items up to and with each event (n, count), newest last, 0 padded; positions without item left in."""
    users, length = features.history_item.shape
    n = len(features)
    flat = np.zeros(users * length + n, np.uint64)
    here = (features.row + 1) * length + np.arange(n)
    ring = np.ones(len(flat), bool)
    ring[here] = False
    flat[ring] = features.history_item.ravel()
    flat[here] = features.item
    back = np.arange(min(count, length + 1) - 1, -1, -1)
    recent: NDArray[np.uint64] = flat[here[:, None] - back]
    return recent


def moved(value: T, device: torch.device) -> T:
    """Tensors anywhere in a value of tuples and dicts, moved."""
    return mapped(value, lambda tensor: tensor.to(device))
