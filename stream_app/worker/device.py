"""The one that may use the model and the index: a thread, or whoever asks while that thread has nothing in hand.

The model is hundreds of small operations. On a thread beside the event loop each of them may wait for the interpreter's
lock, so that a batch of fifty events, 10 ms of work, took 160 ms beside a busy loop.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Device(ThreadPoolExecutor):
    """What is submitted, and what is done at once, has its turn alone."""

    def __init__(self) -> None:
        super().__init__(1, thread_name_prefix="device")
        self._turn = Lock()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """On the thread, in order."""
        return super().submit(self._alone, fn, *args, **kwargs)

    def at_once(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T] | None:
        """Here and now, for what is short; None where the thread is at work."""
        if not self._turn.acquire(blocking=False):
            return None
        try:
            done: Future[T] = Future()
            done.set_result(fn(*args, **kwargs))
            return done
        finally:
            self._turn.release()

    def _alone(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self._turn:
            return fn(*args, **kwargs)
