"""A task's state as a local file: columns of users, what else its changelog holds, and the offset to read on from.

The users are copied slice by slice while the task works on, so a file is no picture of one moment. That is enough:
whoever changed after the file was begun is in the changelog behind its offset, whole, and the changelog wins.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from xxhash import xxh3_128

from stream_app.state.layout import FORMER, HEAD, Columns
from stream_app.state.task_state import Slice
from stream_app.state.windows import WINDOW

FORMAT = 1
DIGEST_BYTES = 16
TAIL_BYTES = 8 + DIGEST_BYTES
"""Length of the index, then the digest of all that comes before it."""
Bytes = NDArray[np.uint8]


class RefusedError(Exception):
    """This file is not to be trusted; the message says why."""


@dataclass(frozen=True)
class Checkpoint:
    """A file that was read, over its mapped bytes."""

    offset: int  # of the changelog: read on from here
    log_id: str  # see TaskState.log_id
    begun_ms: int  # wall clock
    identity: dict[str, Any]
    own: dict[bytes, bytes]
    _whole: Bytes
    _row: np.dtype[Any]
    _sizes: list[list[int]]

    def slices(self) -> Iterator[Slice]:
        """Users, in the order in which they were written."""
        at = 0

        def take(dtype: Any, count: int) -> NDArray[Any]:
            nonlocal at
            column = np.frombuffer(self._whole, dtype, count, at)
            at += column.nbytes + -column.nbytes % 8
            return column

        for users, id_bytes, windows, products, finals in self._sizes:
            ends = np.cumsum(take("u4", users)).tolist()
            joined = take("u1", id_bytes).tobytes()
            ids = [joined[first:end] for first, end in zip([0, *ends], ends, strict=False)]
            columns = (
                take(HEAD, users),
                take(self._row, users),
                take(WINDOW, windows),
                take("u8", products),
                take(FORMER, finals),
            )
            yield ids, Columns(*columns)


@dataclass
class Writer:
    """Writes a checkpoint beside `path` and puts it there when it is whole; it holds what users did, so only the owner
    may read it. Any thread, one at a time."""

    path: Path
    bytes_written: int = 0
    _sizes: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._draft = self.path.with_suffix(f".{os.getpid()}.draft")
        self._draft.unlink(missing_ok=True)
        self._file = os.fdopen(os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self._digest = xxh3_128()

    def add(self, part: Slice) -> None:
        """Write a slice of users."""
        ids, columns = part
        joined = b"".join(ids)
        self._column(np.fromiter(map(len, ids), np.uint32, len(ids)))
        self._column(np.frombuffer(joined, np.uint8))
        for column in (columns.head, columns.rows, columns.windows, columns.products, columns.finals):
            self._column(column)
        counts = [len(ids), len(joined), len(columns.windows), len(columns.products), len(columns.finals)]
        self._sizes.append(counts)

    def finish(
        self, identity: Mapping[str, Any], *, offset: int, log_id: str, begun_ms: int, own: Mapping[bytes, bytes]
    ) -> None:
        """Write the rest and put the file in its place, all of it or nothing."""
        for part in (*own.keys(), *own.values()):
            self._write(part)
        index = {
            "format": FORMAT,
            "identity": identity,
            "offset": offset,
            "log": log_id,
            "begun_ms": begun_ms,
            "slices": self._sizes,
            "own": [[len(key) for key in own], [len(value) for value in own.values()]],
        }
        packed = orjson.dumps(index)
        self._write(packed)
        self._write(len(packed).to_bytes(8, "little"))
        self._write(self._digest.digest())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._draft.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        """Forget what was not finished."""
        self._file.close()
        self._draft.unlink(missing_ok=True)

    def _column(self, column: NDArray[Any]) -> None:
        self._write(memoryview(np.ascontiguousarray(column).view(np.uint8)))  # type: ignore[arg-type]
        if pad := -column.nbytes % 8:
            self._write(bytes(pad))

    def _write(self, data: bytes | memoryview) -> None:
        self._digest.update(data)
        self._file.write(data)
        self.bytes_written += len(data)


def read(path: Path, identity: Mapping[str, Any], *, row: np.dtype[Any]) -> Checkpoint | None:
    """The checkpoint there, None where there is none; RefusedError where it is torn or of something else."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > TAIL_BYTES:
            return _parsed(np.memmap(path, np.uint8, "r"), identity, row)
        raise RefusedError("torn")
    return None


def _parsed(whole: Bytes, identity: Mapping[str, Any], row: np.dtype[Any]) -> Checkpoint:
    end = len(whole) - TAIL_BYTES
    first = end - int.from_bytes(whole[end : end + 8].tobytes(), "little")
    if xxh3_128(whole[:-DIGEST_BYTES].data).digest() != whole[-DIGEST_BYTES:].tobytes() or first < 0:
        raise RefusedError("torn")
    index = orjson.loads(whole[first:end].tobytes())
    if index["format"] != FORMAT:
        raise RefusedError(f"format {index['format']}, not {FORMAT}")
    for name, wanted in identity.items():
        if (found := index["identity"].get(name)) != wanted:
            raise RefusedError(f"another {name}: {found}, not {wanted}")
    keys, values = index["own"]
    parts, at = [], first - sum(keys) - sum(values)
    for size in (*keys, *values):
        parts.append(whole[at : at + size].tobytes())
        at += size
    own = dict(zip(parts[: len(keys)], parts[len(keys) :], strict=True))
    return Checkpoint(
        index["offset"], index["log"], index["begun_ms"], index["identity"], own, whole, row, index["slices"]
    )
