"""How large and how deep a record may be. Works on raw bytes, in linear time, without recursion."""

import re
from collections.abc import Sequence

import numpy as np

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
CHUNK = 128  # records: small arrays stay in cache and need no fresh pages

STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))


def depth(value: bytes) -> int:
    """How deep brackets outside strings nest; the top-level object is 1."""
    brackets = np.frombuffer(STRING.sub(b"", value).translate(None, NO_BRACKET), np.uint8)
    opening = (brackets == ord("{")) | (brackets == ord("["))
    return int(np.where(opening, 1, -1).cumsum().max(initial=0))


def too_deep(value: bytes) -> bool:
    """Whether it nests deeper than MAX_DEPTH; cheap for all that have few brackets."""
    return value.count(b"{") + value.count(b"[") > MAX_DEPTH and depth(value) > MAX_DEPTH


def within(values: Sequence[bytes]) -> bool:
    """Whether all records are of legal size and depth and are UTF-8; each must end in a whole character."""
    return all(_within(values[start : start + CHUNK]) for start in range(0, len(values), CHUNK))


def _within(values: Sequence[bytes]) -> bool:
    longest = max(map(len, values))
    if longest > MAX_BYTES:
        return False
    whole = b"".join(values)
    if not is_utf8(whole):
        return False
    folded = np.frombuffer(whole, np.uint8) | 0x20  # "[" | 0x20 == "{"
    openings = np.flatnonzero(np.equal(folded, ord("{"), out=folded.view(np.bool_)))
    span = openings[MAX_DEPTH:] - openings[:-MAX_DEPTH]  # bytes between a bracket and the 32nd after it
    return not (span < longest).any() or not any(map(too_deep, values))


def is_utf8(value: bytes) -> bool:
    """Whether the bytes are UTF-8."""
    if value.isascii():
        return True
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
