"""JSON objects, one per row, from columns: a tree says where each column's values go, machine code writes all rows.

The text is what `msgspec.json.encode` gives for the same values, but for zeros that have a sign.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import local
from typing import Any

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from fusion.json_kernels import CLOSE, LABEL, LITERAL, NUMBER, NUMBER_BYTES, SKIP, TEXT, WHOLE, cut, write

_encode = msgspec.json.Encoder().encode
_room = local()


@dataclass(frozen=True)
class Number:
    """(n,) of any numeric type; rounded to so many decimals, None for whole numbers."""

    values: NDArray[Any]
    digits: int | None = 4


@dataclass(frozen=True)
class Label:
    """One of a few values, JSON each, by its place: (n,) integers or bools."""

    places: NDArray[Any]
    values: Sequence[Any]


@dataclass(frozen=True)
class Text:
    """n strings; null for None."""

    values: Sequence[str | None]


@dataclass(frozen=True)
class Fixed:
    """The same value in every row."""

    value: Any


@dataclass(frozen=True)
class Where:
    """A field of an object that rows lack where `present` (n,) is false."""

    node: Node
    present: NDArray[np.bool_]


@dataclass(frozen=True)
class Fields:
    """An object."""

    fields: Mapping[str, Node]


@dataclass(frozen=True)
class Items:
    """A list: of these, as many of the first as `count` (n,) says."""

    items: Sequence[Node]
    count: NDArray[np.int64]


Node = Number | Label | Text | Fixed | Where | Fields | Items


def rows(tree: Fields, n: int) -> list[bytes]:
    """The JSON of n rows."""
    if not n:
        return []
    program = _Program(n)
    program.add(tree)
    return program.run()


@dataclass
class _Program:
    """The tree as steps (kind, a, b, c), and the columns that they name."""

    n: int
    steps: list[list[int]] = field(default_factory=list)
    literals: list[bytes] = field(default_factory=list)
    numbers: list[NDArray[np.int64]] = field(default_factory=list)
    texts: list[str | None] = field(default_factory=list)
    pending: bytes = b""
    most: int = 0  # bytes of a row, texts apart

    def add(self, node: Node) -> None:
        """What a row says there."""
        match node:
            case Fixed(value):
                self.pending += _encode(value)
            case Number(values, digits):
                units = values if digits is None else np.rint(values * np.float64(10**digits))
                self._step(NUMBER, self._column(units), WHOLE if digits is None else digits)
                self.most += NUMBER_BYTES
            case Label(places, values):
                self._flush()
                self._step(LABEL, self._column(places), len(self.literals))
                self.literals += map(_encode, values)
                self.most += max(map(len, self.literals[-len(values) :]))
            case Text(values):
                self._step(TEXT, len(self.texts) // self.n)
                self.texts += values
            case Fields(fields):
                self.pending += b"{"
                optional = True
                for name, part in fields.items():
                    optional = isinstance(part, Where)
                    at = self._skip(self._column(part.present), 0) if isinstance(part, Where) else None
                    self.pending += _encode(name) + b":"
                    self.add(part.node if isinstance(part, Where) else part)
                    self.pending += b","
                    self._land(at)
                self._close(b"}", optional=optional)
            case Items(items, count):
                self.pending += b"["
                column = self._column(count)
                for place, part in enumerate(items):
                    at = self._skip(column, place)
                    self.add(part)
                    self.pending += b","
                    self._land(at)
                self._close(b"]", optional=True)
            case Where():
                raise TypeError("only a field can be absent")

    def run(self) -> list[bytes]:
        """All rows."""
        self._flush()
        said = np.frombuffer(orjson.dumps(self.texts), np.uint8)
        start = np.empty(len(self.texts), np.int64)
        end = np.empty(len(self.texts), np.int64)
        cut(said, start, end)
        ends = np.empty(self.n, np.int64)
        out = _buffer(self.most * self.n + len(said))
        literal_end = np.cumsum([0, *map(len, self.literals)])
        write(
            np.array(self.steps, np.int64),
            np.frombuffer(b"".join(self.literals), np.uint8),
            literal_end,
            np.stack(self.numbers) if self.numbers else np.empty((0, self.n), np.int64),
            said,
            start.reshape(-1, self.n),
            end.reshape(-1, self.n),
            out,
            ends,
        )
        whole, last = out[: ends[-1]].tobytes(), ends.tolist()
        return [whole[a:b] for a, b in zip([0, *last], last, strict=False)]

    def _column(self, values: NDArray[Any]) -> int:
        self.numbers.append(values.astype(np.int64))
        return len(self.numbers) - 1

    def _step(self, kind: int, a: int, b: int = 0, c: int = 0) -> None:
        self._flush()
        self.steps.append([kind, a, b, c])

    def _flush(self) -> None:
        if self.pending:
            text, self.pending = self.pending, b""
            self.literals.append(text)
            self.steps.append([LITERAL, len(self.literals) - 1, 0, 0])
            self.most += len(text)

    def _skip(self, column: int, least: int) -> int:
        """Begin what only rows with a greater number have; returns the step."""
        self._step(SKIP, column, 0, least)
        return len(self.steps) - 1

    def _land(self, at: int | None) -> None:
        """End it."""
        if at is not None:
            self._flush()
            self.steps[at][2] = len(self.steps) - 1 - at

    def _close(self, mark: bytes, *, optional: bool) -> None:
        """After a comma that is one too many, which may be in the output already."""
        if optional:
            self._step(CLOSE, mark[0])
            self.most += 1
        else:
            self.pending = self.pending[:-1] + mark


def _buffer(size: int) -> NDArray[np.uint8]:
    """The thread's own, kept: to map new memory costs more than to fill it."""
    held: NDArray[np.uint8] | None = getattr(_room, "held", None)
    if held is None or len(held) < size:
        held = _room.held = np.empty(size * 5 // 4, np.uint8)
    return held
