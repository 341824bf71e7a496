"""Coroutines begun where they are made: most have nothing to wait for, and a task costs turns of the loop."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any


def begun(given: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, None] | None:
    """Run it until it waits: None when it has ended, else what is left of it to await. Raises what it raises."""
    try:
        waits = given.send(None)
    except StopIteration:
        return None
    return _left(given, waits)


async def _left(given: Coroutine[Any, Any, Any], waits: Any) -> None:
    await _resumed(given, waits)


@coroutine
def _resumed(given: Coroutine[Any, Any, Any], waits: Any) -> Generator[Any, Any, None]:
    while True:
        try:
            try:
                value = yield waits
            except BaseException as error:
                waits = given.throw(error)
            else:
                waits = given.send(value)
        except StopIteration:
            return
