"""What every encoder offers, and the int8 form in which vectors are carried from batch to batch."""

from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

VECTOR = 64
"""Length of a text, voice, image or item vector."""

TrackT = TypeVar("TrackT", contravariant=True)
PreparedT = TypeVar("PreparedT")


class Encoded(NamedTuple):
    """What an encoder says about n positions of its track."""

    vector: Tensor  # (n, size) float32; zeros where absent
    present: Tensor  # (n,) bool
    confidence: Tensor  # (n,) float32 in 0..1


class Encoder(Protocol[TrackT, PreparedT]):
    """One modality. `prepare` runs on the CPU and needs no weights; calling it runs on the device."""

    size: int

    def prepare(self, track: TrackT) -> PreparedT: ...
    def __call__(self, prepared: PreparedT) -> Encoded: ...


def quantise(vector: Tensor) -> tuple[Tensor, Tensor]:
    """Float rows (n, d) as int8 rows and a float32 scale each; zero rows have scale 0."""
    scale = vector.abs().amax(-1) / 127  # (n,)
    steps = vector / scale.clamp(min=1e-12)[:, None]
    return steps.round().to(torch.int8), scale


def quantised(vector: Tensor) -> Tensor:
    """The rows as they will be after being carried, with the gradient of the originals."""
    whole, scale = quantise(vector.detach())
    return vector + (whole * scale[:, None] - vector).detach()
