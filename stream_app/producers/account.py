"""The independent account of a run: what went in against what came out. Shares no code with the pipeline.

It decides from the contract alone what should have become of every input record.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from stream_app.records import RecordLike

NOBODY = frozenset(("", "null", "undefined", "guest", "anonymous", "0", "nan", "[object object]"))
SET_ASIDE = ("late-events", "dead-letters")

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class Account:
    """Numbers of records. Without a loss, inputs = accepted + duplicates + partial + late + dead_letters."""

    inputs: int
    accepted: int  # events that must have exactly one prediction
    predictions: int
    duplicates: int
    partial: int
    late: int
    dead_letters: int
    suppressed: int  # accepted events of users who may be left without predictions
    lost: int  # inputs of which nothing tells
    repeated: int  # predictions, late records and dead letters too many
    unknown: int  # outputs that answer no input

    @property
    def balanced(self) -> bool:
        """Every input is accounted for, exactly once."""
        return self.lost == self.repeated == self.unknown == 0


def account(
    inputs: Iterable[RecordLike], outputs: Iterable[RecordLike], *, suppressed_users: Collection[str] = ()
) -> Account:
    """Balance all records of the four input topics with all of the output topics (others are ignored).

    About 40 bytes a record are held. Set-aside records are matched by value, predictions by user, source and event id.
    """
    values, identities, partial, excused = _read_inputs(inputs, suppressed_users)
    predicted, prediction_ids, set_aside = _read_outputs(outputs)
    aside, surplus, strange = _match(values, np.concatenate([set_aside[name] for name in SET_ASIDE]))
    readable = ~aside & (identities != 0)
    live = readable & ~partial
    expected = np.unique(identities[live])
    answered = np.unique(predicted)
    missing = np.setdiff1d(expected, answered, assume_unique=True)
    forgiven = np.intersect1d(missing, identities[excused])
    return Account(
        inputs=len(values),
        accepted=len(expected),
        predictions=len(predicted),
        duplicates=int(live.sum()) - len(expected),
        partial=int((readable & partial).sum()),
        late=len(set_aside["late-events"]),
        dead_letters=len(set_aside["dead-letters"]),
        suppressed=len(forgiven),
        lost=len(missing) - len(forgiven) + int((~aside & (identities == 0)).sum()),
        repeated=surplus + len(predicted) - min(len(answered), len(np.unique(prediction_ids))),
        unknown=strange + len(np.setdiff1d(answered, expected, assume_unique=True)),
    )


def accepted(inputs: Iterable[RecordLike], outputs: Iterable[RecordLike]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(event type, record) of every event that belongs in the windows: the first of its identity not set aside.

    What only the model refused (stage `inference`) has happened all the same.
    """
    _, _, set_aside = _read_outputs(record for record in outputs if ("dlq.stage", b"inference") not in record.headers)
    aside: dict[int, int] = {}
    for value in np.concatenate([set_aside[name] for name in SET_ASIDE]).tolist():
        aside[value] = aside.get(value, 0) + 1
    seen: set[int] = set()
    for record in inputs:
        if aside.get(value := _hash(record.value or b""), 0):
            aside[value] -= 1
            continue
        fields, identity, partial, _ = _parse(record)
        if identity and not partial and identity not in seen:
            seen.add(identity)
            yield _kind(record), fields


def user_of(record: dict[str, Any]) -> str | None:
    """The user id, else the anonymous id; None where neither names anybody."""
    for name in ("user_id", "anonymous_id"):
        if isinstance(who := record.get(name), str) and who.strip().lower() not in NOBODY:
            return who
    return None


def _read_inputs(
    records: Iterable[RecordLike], suppressed: Collection[str]
) -> tuple[Hashes, Hashes, NDArray[np.bool_], NDArray[np.bool_]]:
    """Per input (n,): hash of its value, of its identity (0 unreadable), is it partial, may it go unanswered."""
    values, identities, partials, excused = array("Q"), array("Q"), array("B"), array("B")
    for record in records:
        _, identity, partial, user = _parse(record)
        values.append(_hash(record.value or b""))
        identities.append(identity)
        partials.append(partial)
        excused.append(user in suppressed)
    flags = (np.frombuffer(flag, np.uint8).astype(bool) if flag else np.zeros(0, bool) for flag in (partials, excused))
    return (_array(values), _array(identities), *flags)  # type: ignore[return-value]


def _read_outputs(records: Iterable[RecordLike]) -> tuple[Hashes, Hashes, dict[str, Hashes]]:
    """Hashes of the predicted identities, of the prediction ids, and of the values set aside by topic."""
    predicted, ids = array("Q"), array("Q")
    set_aside = {name: array("Q") for name in SET_ASIDE}
    for record in records:
        kind = _kind(record)
        if kind in set_aside and not _of_catalogue(record):
            set_aside[kind].append(_hash(record.value or b""))
        elif kind == "predictions" and record.value is not None:
            prediction = orjson.loads(record.value)
            predicted.append(_identity(prediction["user_id"], prediction.get("source"), prediction["event_id"]))
            ids.append(_hash(prediction["prediction_id"].encode()))
    return _array(predicted), _array(ids), {name: _array(hashes) for name, hashes in set_aside.items()}


def _match(values: Hashes, set_aside: Hashes) -> tuple[NDArray[np.bool_], int, int]:
    """Which inputs (n,) were set aside; how many set-aside records are one too many; how many match no input."""
    kinds, index, present = np.unique(values, return_inverse=True, return_counts=True)
    wanted, asides = np.unique(set_aside, return_counts=True)
    taken = np.zeros(len(kinds), np.int64)
    known = np.isin(wanted, kinds, assume_unique=True)
    taken[np.searchsorted(kinds, wanted[known])] = asides[known]
    order = np.argsort(index, kind="stable")
    rank = np.empty(len(values), np.int64)  # of each input among those of the same value
    rank[order] = np.arange(len(values)) - np.repeat(np.cumsum(present) - present, present)
    surplus = int(np.maximum(taken - present, 0).sum())
    return rank < taken[index], surplus, int(asides[~known].sum())


def _parse(record: RecordLike) -> tuple[dict[str, Any], int, bool, str | None]:
    """Fields, identity (0 where there is none), whether it is a partial transcript, and the user."""
    try:
        fields = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError:
        return {}, 0, False, None
    user = user_of(fields) if isinstance(fields, dict) else None
    if user is None or not isinstance(fields.get("event_id"), str):
        return {}, 0, False, user
    partial = _kind(record) == "voice-transcripts" and fields.get("is_final") is False
    return fields, _identity(user, fields.get("source"), fields["event_id"]), partial, user


def _of_catalogue(record: RecordLike) -> bool:
    """Whether a dead letter was a record of the catalogue, which is no event."""
    return any(name == "__streams.errors.topic" and value.endswith(b"items") for name, value in record.headers)


def _kind(record: RecordLike) -> str:
    """The last part of the topic's name."""
    return record.topic.rpartition(".")[2]


def _identity(user: str, source: str | None, event_id: str) -> int:
    return _hash(f"{user}\0{source or ''}\0{event_id}".encode())


def _hash(data: bytes) -> int:
    """64 bits, never 0."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little") or 1


def _array(hashes: array[int]) -> Hashes:
    return np.frombuffer(hashes, np.uint64) if hashes else np.zeros(0, np.uint64)
