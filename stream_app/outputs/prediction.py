"""`behavior.predictions`: one record for every accepted event. Times are RFC 3339 in UTC, durations milliseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from fusion.columnar_json import Fields, Fixed, Label, Node, Number, Value, Where, rows, whole
from fusion.features import PredictionBatch
from fusion.heads import HEADS
from fusion.model import MODALITIES
from stream_app.events.batch import EventBatch
from stream_app.outputs.prediction_id import prediction_ids
from stream_app.outputs.times import rfc3339

QUALITY_FLAGS = ("wrong_key_routed", "image_unreadable", "clock_skew_corrected", "time_in_grace")
"""What may have made a prediction worse; bit i of a quality mask stands for the i-th."""
ITEMS_INDEX = "items_index"
SHARE_UNITS = 10_000


class Head(Protocol):
    """What says where a head's columns stand in its output."""

    def render(self, columns: Mapping[str, NDArray[Any]]) -> Node: ...


class Latency(msgspec.Struct, frozen=True, gc=False):
    """Milliseconds: from receipt to the model, inside it, and from receipt to this record."""

    queue: float
    inference: float
    total: float


class ModelInfo(msgspec.Struct, frozen=True, gc=False):
    """What made a prediction; the digest is of the artefact."""

    name: str
    version: str
    digest: str


class Shares(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Share of each modality that is present; they sum to 1. The others are absent."""

    behavior: float | None = None
    text: float | None = None
    voice: float | None = None
    image: float | None = None


if TYPE_CHECKING:

    class Outputs(msgspec.Struct):
        """One field per head, absent where the head has nothing to say."""

else:
    Outputs = msgspec.defstruct(
        "Outputs",
        [(name, head.Output | None, None) for name, head in HEADS.items()],
        frozen=True,
        gc=False,
        omit_defaults=True,
        module=__name__,
        namespace={"__doc__": "One field per head, absent where the head has nothing to say."},
    )


class Prediction(msgspec.Struct, frozen=True, gc=False):
    """What the model says after an event has entered its user's state.

    `positions` holds, per full input topic name, the offset up to which the state had seen the partition, and under
    `items_index` the position of the recommendation index. `processed_at` and `latency_ms` are the only wall clock.
    """

    prediction_id: str
    event_id: str
    user_id: str
    session_id: str
    source: str | None
    event_time: str
    processed_at: str
    latency_ms: Latency
    model: ModelInfo
    feature_digest: str
    outputs: Outputs
    modalities: Shares
    positions: dict[str, int]
    tier: str
    cold_start: bool
    quality_flags: tuple[str, ...]
    revision: int
    supersedes: str | None


_FLAG_SETS = tuple(
    tuple(name for bit, name in enumerate(QUALITY_FLAGS) if mask >> bit & 1) for mask in range(1 << len(QUALITY_FLAGS))
)


def quality_bit(flag: str) -> np.uint8:
    """The mask with only this flag."""
    return np.uint8(1 << QUALITY_FLAGS.index(flag))


def encode_predictions(
    events: EventBatch,
    predictions: PredictionBatch,
    *,
    heads: Mapping[str, Head],
    pipeline: str,
    model: ModelInfo,
    feature_digest: Sequence[str],
    session_start_ms: NDArray[np.int64],
    inputs: Sequence[str],
    positions: NDArray[np.int64],
    quality: NDArray[np.uint8],
    processed_at_ms: int,
    queue_ms: NDArray[np.float32],
    inference_ms: float,
    total_ms: NDArray[np.float32],
    revision: int = 1,
) -> list[bytes]:
    """JSON per event, aligned with `events`; the record key is `events.user`.

    Per event (n,): feature_digest, session_start_ms (used where the event names no session), quality (mask of
    QUALITY_FLAGS), queue_ms, total_ms. `positions` (n, inputs) belongs to the full topic names `inputs`.
    """
    users, sources, ids = [user.decode() for user in events.user], events.source.tolist(), events.event_id.tolist()
    made = predictions.columns  # a lesser tier lacks some
    seen = dict(zip(inputs, map(whole, positions.T), strict=True))
    fields: Mapping[str, Node] = {
        "prediction_id": Value(prediction_ids(pipeline, sources, ids, revision=revision)),
        "event_id": Value(ids),
        "user_id": Value(users),
        "session_id": Value(session_ids(events.session_id.tolist(), users, session_start_ms.tolist())),
        "source": Value(sources),
        "event_time": Value(rfc3339(events.event_time_ms)),
        "processed_at": Fixed(rfc3339(np.array([processed_at_ms]))[0]),
        "latency_ms": Fields(
            {
                "queue": Number(queue_ms, digits=1),
                "inference": Fixed(round(float(inference_ms), 2)),
                "total": Number(total_ms, digits=1),
            }
        ),
        "model": Fixed(model),
        "feature_digest": Value(feature_digest),
        "outputs": Fields({name: heads[name].render(made[name]) for name in HEADS if name in made}),
        "modalities": Fields(_shares(predictions.modalities)),
        "positions": Fields({**seen, ITEMS_INDEX: Fixed(predictions.index_position)}),
        "tier": Fixed(predictions.tier),
        "cold_start": Label(predictions.cold_start, (False, True)),
        "quality_flags": Label(quality, _FLAG_SETS),
        "revision": Fixed(revision),
        "supersedes": Fixed(None),
    }
    return rows(Fields(fields), len(events))


def session_ids(given: Sequence[str | None], users: Sequence[str], start_ms: Sequence[int]) -> list[str]:
    """The producer's session id or, where it gave none, `user|start of the session`."""
    return [
        f"{user}|{start}" if name is None else name for name, user, start in zip(given, users, start_ms, strict=True)
    ]


def _shares(modalities: NDArray[np.float32]) -> dict[str, Node]:
    """Four decimals that sum to 1; nothing where the modality is absent."""
    units = np.floor(modalities.astype(np.float64) * SHARE_UNITS).astype(np.int64)
    units[np.arange(len(units)), modalities.argmax(axis=1)] += SHARE_UNITS - units.sum(axis=1)
    columns = zip(MODALITIES, units.T, modalities.T, strict=True)
    return {name: Where(Number(unit / SHARE_UNITS), share > 0) for name, unit, share in columns}
