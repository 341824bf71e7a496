"""JSON objects, one per row, from columns: a tree says where each column's values go, machine code writes all rows.

The text is what `msgspec.json.encode` gives for the same values, but for zeros that have a sign. Of a tree's shape a
template is made once and kept; a call costs some 0.2 ms and then about 2 ns a byte.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import local
from typing import Any, Protocol

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from fusion.json_kernels import (
    CLOSE,
    FIXED,
    LABEL,
    LITERAL,
    NOTHING,
    NUMBER,
    NUMBER_BYTES,
    PIECE,
    SKIP,
    VALUE,
    WHOLE,
    cut,
    write,
)

_templates: dict[Hashable, _Template] = {}
_MOST_TEMPLATES = 64
_room = local()


class Node(Protocol):
    """What stands in one place of every row."""

    def gather(self, given: _Given) -> Hashable:
        """Hand over the columns; returns what tells the shape from others."""

    def compile(self, template: _Template) -> None:
        """Add the steps that write it, which name the columns in the order of `gather`."""


@dataclass(frozen=True, eq=False)
class Number:
    """(n,) of any numeric type; rounded to so many decimals, None for whole numbers. NaN is null."""

    values: NDArray[Any]
    digits: int | None = 4

    def gather(self, given: _Given) -> Hashable:
        """The decimals."""
        if self.digits is None:
            given.numbers.append(self.values)
        else:
            units = np.rint(self.values * np.float64(10**self.digits))
            given.numbers.append(np.where(np.isnan(units), NOTHING, units) if np.isnan(units.min()) else units)
        return Number, self.digits

    def compile(self, template: _Template) -> None:
        """One step."""
        digits = self.digits or 0
        template.step(NUMBER, template.column(), WHOLE if self.digits is None else digits, 10**digits)
        template.most += NUMBER_BYTES


@dataclass(frozen=True, eq=False)
class Label:
    """One of a few values, hashable and JSON each, by its place: (n,) integers or bools."""

    places: NDArray[Any]
    values: tuple[Any, ...]

    def gather(self, given: _Given) -> Hashable:
        """The values, and their types: 1 is True, but is not written so."""
        given.numbers.append(self.places)
        return Label, self.values, tuple(map(type, self.values))

    def compile(self, template: _Template) -> None:
        """One step."""
        column, literals = template.column(), [msgspec.json.encode(value) for value in self.values]
        template.step(LABEL, column, template.literal(*literals))
        template.most += max(map(len, literals))


@dataclass(frozen=True, eq=False)
class Value:
    """n strings, lists, dictionaries or None: whatever `orjson` writes."""

    values: Sequence[Any]

    def gather(self, given: _Given) -> Hashable:
        """Nothing."""
        given.values += self.values
        return Value

    def compile(self, template: _Template) -> None:
        """One step."""
        template.step(VALUE, template.value_columns)
        template.value_columns += 1


@dataclass(frozen=True, eq=False)
class Fixed:
    """The same value in every row."""

    value: Any

    def gather(self, given: _Given) -> Hashable:
        """Nothing: it may be another one in the next batch."""
        given.fixed.append(msgspec.json.encode(self.value))
        return Fixed

    def compile(self, template: _Template) -> None:
        """One step."""
        template.step(FIXED, template.fixed)
        template.fixed += 1


@dataclass(frozen=True, eq=False)
class Where:
    """A field of an object that rows lack where `present` (n,) is false."""

    node: Node
    present: NDArray[np.bool_]

    def gather(self, given: _Given) -> Hashable:
        """The node's."""
        given.numbers.append(self.present)
        return Where, self.node.gather(given)

    def compile(self, template: _Template) -> None:
        """The node's steps; what surrounds them is the object's."""
        self.node.compile(template)


@dataclass(frozen=True, eq=False)
class Fields:
    """An object."""

    fields: Mapping[str, Node]

    def gather(self, given: _Given) -> Hashable:
        """Names and parts."""
        return Fields, tuple(self.fields), tuple([part.gather(given) for part in self.fields.values()])

    def compile(self, template: _Template) -> None:
        """The parts' steps between names."""
        optional = True
        template.pending += b"{"
        for name, part in self.fields.items():
            optional = isinstance(part, Where)
            skip = template.skip(template.column(), 0) if optional else None
            template.pending += msgspec.json.encode(name) + b":"
            part.compile(template)
            template.pending += b","
            template.land(skip)
        template.close(b"}", optional=optional)


@dataclass(frozen=True, eq=False)
class Items:
    """A list: of these, as many of the first as `count` (n,) says."""

    items: Sequence[Node]
    count: NDArray[np.int64]

    def gather(self, given: _Given) -> Hashable:
        """The items'."""
        given.numbers.append(self.count)
        return Items, tuple([part.gather(given) for part in self.items])

    def compile(self, template: _Template) -> None:
        """The items' steps between commas."""
        template.pending += b"["
        column = template.column()
        for place, part in enumerate(self.items):
            if isinstance(part, Where):
                raise TypeError("only a field can be absent")
            skip = template.skip(column, place)
            part.compile(template)
            template.pending += b","
            template.land(skip)
        template.close(b"]", optional=True)


def whole(values: NDArray[Any]) -> Number:
    """Of (n,) integers."""
    return Number(values, digits=None)


def rows(tree: Fields, n: int) -> list[bytes]:
    """The JSON of n rows."""
    if not n:
        return []
    given = _Given()
    shape = tree.gather(given)
    template = _templates.get(shape)
    if template is None:
        if len(_templates) >= _MOST_TEMPLATES:
            _templates.clear()
        template = _templates[shape] = _Template.of(tree)
    return template.write(given, n)


@dataclass
class _Given:
    """The columns of a tree, in its order."""

    numbers: list[NDArray[Any]] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)  # column by column
    fixed: list[bytes] = field(default_factory=list)


@dataclass
class _Template:
    """A tree's shape as steps (kind, a, b, c)."""

    steps: list[list[int]] = field(default_factory=list)
    literals: list[bytes] = field(default_factory=list)
    pending: bytes = b""
    most: int = 0  # bytes of a row, but for values and fixed ones
    columns: int = 0
    value_columns: int = 0
    fixed: int = 0
    program: NDArray[np.int64] = field(default_factory=lambda: np.empty((4, 0), np.int64))

    @staticmethod
    def of(tree: Fields) -> _Template:
        """Of this tree and all of its shape."""
        template = _Template()
        tree.compile(template)
        template.flush()
        template.program = np.array(template.steps, np.int64).T.copy()
        fixed = template.program[0] == FIXED
        template.program[0, fixed] = LITERAL
        template.program[1, fixed] += len(template.literals)
        return template

    def write(self, given: _Given, n: int) -> list[bytes]:
        """All rows."""
        said = np.frombuffer(orjson.dumps(given.values) + bytes(PIECE), np.uint8)
        start, end = np.empty((2, len(given.values)), np.int64)
        cut(said, start, end)
        numbers = np.empty((len(given.numbers), n), np.int64)
        for row, values in zip(numbers, given.numbers, strict=True):
            row[:] = values
        literals = [*self.literals, *given.fixed]
        ends = np.empty(n, np.int64)
        out = _buffer((self.most + sum(map(len, given.fixed))) * n + len(said) + PIECE)
        write(
            self.program,
            np.frombuffer(b"".join(literals) + bytes(PIECE), np.uint8),
            np.cumsum([0, *map(len, literals)]),
            numbers,
            said,
            start.reshape(-1, n),
            end.reshape(-1, n),
            out,
            ends,
        )
        last = ends.tolist()
        whole = out[: last[-1]].tobytes()
        return [whole[a:b] for a, b in zip([0, *last], last, strict=False)]

    def column(self) -> int:
        """The next of the columns of numbers."""
        self.columns += 1
        return self.columns - 1

    def literal(self, *texts: bytes) -> int:
        """Keep these; returns the place of the first."""
        self.flush()
        self.literals += texts
        return len(self.literals) - len(texts)

    def step(self, kind: int, a: int, b: int = 0, c: int = 0) -> None:
        """After what is pending."""
        self.flush()
        self.steps.append([kind, a, b, c])

    def flush(self) -> None:
        """Write what is pending."""
        if self.pending:
            text, self.pending = self.pending, b""
            self.literals.append(text)
            self.steps.append([LITERAL, len(self.literals) - 1, 0, 0])
            self.most += len(text)

    def skip(self, column: int, least: int) -> int:
        """Begin what only rows with a greater number have; returns the step."""
        self.step(SKIP, column, 0, least)
        return len(self.steps) - 1

    def land(self, skip: int | None) -> None:
        """End it."""
        if skip is not None:
            self.flush()
            self.steps[skip][2] = len(self.steps) - 1 - skip

    def close(self, mark: bytes, *, optional: bool) -> None:
        """After a comma that is one too many, which may be in the output already."""
        if optional:
            self.step(CLOSE, mark[0])
            self.most += 1
        else:
            self.pending = self.pending[:-1] + mark


def _buffer(size: int) -> NDArray[np.uint8]:
    """The thread's own, kept: to map new memory costs more than to fill it."""
    held: NDArray[np.uint8] | None = getattr(_room, "held", None)
    if held is None or len(held) < size:
        held = _room.held = np.empty(size * 5 // 4, np.uint8)
    return held
