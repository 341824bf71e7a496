"""What heads read, what they learn from, and what each of them offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import msgspec
from numpy.typing import NDArray
from torch import Tensor, nn

from fusion.columnar_json import Node

Columns = Mapping[str, NDArray[Any]]
FUSED = 128
MASKS = 16
"""Sets of present modalities; the empty one among them, though nobody has it."""


class Fused(NamedTuple):
    """n positions after fusion."""

    vector: Tensor  # (n, 128)
    opinion: Tensor  # (n, 64) what the user last said in a review or aloud; zeros where nothing
    has_opinion: Tensor  # (n,) bool
    items: Tensor  # (n, 64) what behaviour attends to, in item space; zeros where it is absent
    rhythm: Tensor  # (n, RHYTHM) how often and how lately they come (`fusion.rhythm`); zeros without behaviour
    mask: Tensor  # (n,) int64 which modalities are present, bit i for the i-th


class Labels(NamedTuple):
    """What n events turned out to mean; missing is NaN, -1 or item 0."""

    purchase: Tensor  # (n,) float32: buys in the rest of the session
    away_s: Tensor  # (n,) float32: until they come back; below 0: not back for so long when the log ended
    next_action: Tensor  # (n,) int64
    next_item: Tensor  # (n, 2) int64 rows of the item table, 0 missing
    sentiment: Tensor  # (n,) int64: 0 negative, 1 neutral, 2 positive; -1 missing
    anomaly: Tensor  # (n,) float32: made by a bot


class Setup(NamedTuple):
    """What a head is made from."""

    actions: Sequence[str]
    segments: Sequence[str]
    items: nn.Embedding  # the behaviour encoder's item table
    horizon_s: float = 14 * 86_400  # after which who is not back has churned


class Head(Protocol):
    """One prediction: an nn.Module made from a Setup, with its output type, its loss and its rendering.

    `forward` gives raw tensors per position, `loss` is finite whatever labels are missing, `columns` turns raw
    arrays into calibrated output columns, `render` says what of them stands where in the JSON of an output.
    """

    Output: ClassVar[Any]
    temperature: Tensor

    def __call__(self, fused: Fused) -> Tensor: ...
    def loss(self, raw: Tensor, labels: Labels) -> Tensor: ...
    def columns(self, raw: Tensor) -> dict[str, Tensor]: ...
    def render(self, columns: Columns) -> Node: ...


class Score(msgspec.Struct, frozen=True, gc=False):
    """One number: a calibrated probability."""

    score: float
