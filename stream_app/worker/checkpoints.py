"""When a task writes its checkpoint, and whether it may trust the one that it finds."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from stream_app.outputs.topics import DAY_MS
from stream_app.state import checkpoint
from stream_app.state.checkpoint import Checkpoint, RefusedError
from stream_app.state.task_state import TASK, TaskState, log_of
from stream_app.transport.log_reader import LogReader

log = logging.getLogger(__name__)

SLICE = 4_096
"""Rows copied at once: the task stands still for a millisecond or two."""
LONGEST_SHARE = 0.05
"""Of the time that may go into writing: a large state on a slow disk is written less often."""
TRUSTED_MS = DAY_MS // 2
"""Older ones are refused: compaction drops a deletion `delete.retention.ms` (a day) after it was written, and a tail
without it would bring the deleted user back."""


class Checkpoints:
    """Of one task. Its methods belong to the event loop; files are read and written on threads."""

    def __init__(
        self,
        path: Path,
        identity: Mapping[str, Any],
        *,
        state: TaskState,
        own: Callable[[], dict[bytes, bytes]],
        every_s: float,
    ) -> None:
        self._path = path
        self._state = state
        self._identity = {**identity, "layout": list(state.layout), "settings": state.fixed()}
        self._own = own  # what the changelog holds beside users
        self._every_s = every_s
        self._begun = self._done = 0  # batches
        self._offset: int | None = None  # of the last transaction that says of which log it is
        self._written: tuple[int | None, int] = (None, 0)  # offset and time of the last file
        self._news = asyncio.Event()
        self._stopping = False
        self._writer: asyncio.Task[None] | None = None

    async def read(self) -> Checkpoint | None:
        """The file, unless there is a reason not to trust it."""
        try:
            found = await asyncio.to_thread(checkpoint.read, self._path, self._identity, row=self._state.row)
            age_ms = _now_ms() - found.begun_ms if found is not None else 0
            if not 0 <= age_ms <= TRUSTED_MS:
                raise RefusedError(f"{age_ms / 3_600_000:.1f} h old")
        except RefusedError as reason:
            self.refuse(str(reason))
            return None
        except Exception as error:  # whatever is in the file: the changelog has everything
            self.refuse(repr(error))
            return None
        return found

    def refuse(self, reason: str) -> None:
        """Say that the file is not used."""
        log.warning("checkpoint refused", extra={"path": str(self._path), "reason": reason})

    def begin(self) -> None:
        """A batch begins to change the state."""
        self._begun += 1

    def committed(self, offset: int | None) -> None:
        """The oldest batch that had begun is in the log; `offset` where, if it says of which log it is."""
        self._done += 1
        self._offset = self._offset if offset is None else offset
        self._news.set()

    def restored(self, offset: int | None) -> None:
        """The state is that of the log, read from this offset on."""
        self._offset = offset

    def run(self) -> None:
        """Write from time to time, until stopped."""
        self._stopping = False
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._keep(), name="checkpoints")

    def leave(self) -> None:
        """Stop at the next slice."""
        self._stopping = True
        self._news.set()

    async def stop(self) -> None:
        """Stop, and wait for it."""
        self.leave()
        if self._writer is not None:
            await self._writer

    async def write(self) -> bool:
        """Write one now; False when told to stop before it was whole, or when no log is known yet."""
        offset, begun_ms, started_s = self._offset, _now_ms(), time.monotonic()
        if offset is None:
            return False
        writer = await asyncio.to_thread(checkpoint.Writer, self._path)
        try:
            count, longest_s = self._state.row_count, 0.0
            for first in range(0, count, SLICE):
                copying_s = time.perf_counter()
                part = self._state.columns(first, min(first + SLICE, count))
                longest_s = max(longest_s, time.perf_counter() - copying_s)
                await asyncio.to_thread(writer.add, part)
                if self._stopping:
                    return False
            own, log_id, begun = self._own(), self._state.log_id, self._begun
            while self._done < begun:  # whatever has been copied must be in the log
                self._news.clear()
                await self._news.wait()
                if self._stopping:
                    return False
            await asyncio.to_thread(
                writer.finish, self._identity, offset=offset, log_id=log_id, begun_ms=begun_ms, own=own
            )
        finally:
            await asyncio.to_thread(writer.close)
        self._written = offset, begun_ms
        log.info(
            "checkpoint",
            extra={
                "partition": self._identity["partition"],
                "offset": offset,
                "users": len(self._state),
                "bytes": writer.bytes_written,
                "seconds": round(time.monotonic() - started_s, 3),
                "longest_pause_ms": round(longest_s * 1000, 2),
            },
        )
        return True

    async def _keep(self) -> None:
        pause_s = self._every_s
        while await self._pause(pause_s):
            offset, begun_ms = self._written
            if offset == self._offset and _now_ms() - begun_ms < TRUSTED_MS // 2:
                continue
            started_s = time.monotonic()
            try:
                await self.write()
            except Exception as error:  # the disk is full, or away: the changelog has everything
                log.warning("checkpoint not written", extra={"path": str(self._path), "reason": str(error)})
            pause_s = max(self._every_s, (time.monotonic() - started_s) / LONGEST_SHARE)

    async def _pause(self, seconds: float) -> bool:
        """False when told to stop."""
        until_s = time.monotonic() + seconds
        while not self._stopping and (left_s := until_s - time.monotonic()) > 0:
            self._news.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), left_s)
        return not self._stopping


class Found(NamedTuple):
    """What a task restores from."""

    pairs: dict[bytes, bytes | None]  # last value per key, of the whole log or behind the checkpoint
    checkpoint: Checkpoint | None
    offset: int | None  # of the last record read that says of which log it is
    read: int  # records


async def last_values(reader: LogReader, checkpoints: Checkpoints | None) -> Found:
    """The log's last values; only its tail where there is a checkpoint of this very log."""
    saved = await checkpoints.read() if checkpoints is not None else None
    if checkpoints is not None and saved is not None:
        if not await reader.seek(saved.offset):
            checkpoints.refuse(f"the log does not reach over its offset {saved.offset}")
        else:
            found = await _read(reader, saved)
            named = found.pairs.get(TASK)
            if named is not None and log_of(named) == saved.log_id:
                return found
            checkpoints.refuse("another log")
            await reader.rewind()
    return await _read(reader, None)


async def _read(reader: LogReader, saved: Checkpoint | None) -> Found:
    pairs: dict[bytes, bytes | None] = {}
    offset, read = None, 0
    async for chunk in reader.to_end():
        read += len(chunk)
        pairs.update((record.key or b"", record.value) for record in chunk)
        offset = next((record.offset for record in reversed(chunk) if record.key == TASK), offset)
    return Found(pairs, saved, offset, read)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
