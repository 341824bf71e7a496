"""Work on a CUDA device without waiting for it: captured graphs, and pinned buffers that take turns.

On a CPU the same buffers are filled and the same steps run, only nothing is captured, pinned or waited for.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

Tensors = tuple[Tensor, ...]
SizeT = TypeVar("SizeT", bound=Hashable)
AnswerT = TypeVar("AnswerT")
WARM = 3
"""Calls before a capture: libraries choose their kernels and allocate then."""


@cache
def has_kernels(device: torch.device) -> bool:
    """Whether kernels in Triton run there; torch for CUDA brings it along on Linux."""
    return device.type == "cuda" and importlib.util.find_spec("triton") is not None


class _Held(NamedTuple, Generic[AnswerT]):
    """What one size keeps."""

    given: Tensors
    captured: tuple[AnswerT, torch.cuda.CUDAGraph] | None


class Graphs(Generic[SizeT, AnswerT]):
    """`step(size, given)` over buffers that stay in place: one CUDA graph per size, captured when first met.

    `make(size)` gives the buffers, filled with values that the step can work on. One thread, one stream.
    """

    def __init__(
        self,
        step: Callable[[SizeT, Tensors], AnswerT],
        make: Callable[[SizeT], Tensors],
        device: torch.device,
    ) -> None:
        self._step, self._make, self._device = step, make, device
        self._held: dict[SizeT, _Held[AnswerT]] = {}
        self._pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None

    @torch.inference_mode()
    def __call__(self, size: SizeT, values: Tensors) -> AnswerT:
        """The step's answer to `values`, each at the head of its buffer; what follows is as the last call left it.

        Answers last until the next call. Values may be pinned: nothing waits for the device.
        """
        held = self._held.get(size) or self._new(size)
        heads = [into[: len(value)] for into, value in zip(held.given, values, strict=True)]
        torch._foreach_copy_(heads, list(values), non_blocking=True)  # few launches, where all are on the device
        if held.captured is None:
            return self._step(size, held.given)
        answer, graph = held.captured
        graph.replay()
        return answer

    def _new(self, size: SizeT) -> _Held[AnswerT]:
        given = self._make(size)
        held = _Held(given, None if self._pool is None else self._captured(size, given))
        self._held[size] = held
        return held

    def _captured(self, size: SizeT, given: Tensors) -> tuple[AnswerT, torch.cuda.CUDAGraph]:
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            for _ in range(WARM):
                self._step(size, given)
        torch.cuda.current_stream(self._device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            answer = self._step(size, given)
        return answer, graph


class Staging:
    """Two pinned host buffers in turn: the next batch is written while the last is still being copied. One thread.

    With a `stream` of its own copies go on beside whatever the device computes.
    """

    def __init__(self, device: torch.device, *, beside: bool = False) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device) if beside and device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._pinned = device.type == "cuda"
        self._buffers = [self._empty(0), self._empty(0)]
        self._left: list[torch.cuda.Event | None] = [None, None]
        self._turn = 0

    def take(self, size_bytes: int) -> Tensor:
        """(size_bytes,) uint8 to write to, once the copy that last left it is over."""
        self._turn ^= 1
        left = self._left[self._turn]
        if left is not None:
            left.synchronize()
        if len(self._buffers[self._turn]) < size_bytes:
            self._buffers[self._turn] = self._empty(1 << (size_bytes - 1).bit_length())
        return self._buffers[self._turn][:size_bytes]

    def sent(self) -> None:
        """The copy of what was taken last has been asked for."""
        if self._pinned:
            event = self._left[self._turn] or torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record(torch.cuda.current_stream(self.device))
            self._left[self._turn] = event

    def copying(self) -> AbstractContextManager[Any]:
        """In which copies are asked for."""
        return nullcontext() if self.stream is None else torch.cuda.stream(self.stream)

    def arrived(self, there: Tensor) -> None:
        """What is asked of the device from here on waits for a copy, and the copy's memory for that."""
        if self.stream is not None:
            current = torch.cuda.current_stream(self.device)
            current.wait_stream(self.stream)
            there.record_stream(current)

    def _empty(self, size_bytes: int) -> Tensor:
        return torch.empty(size_bytes, dtype=torch.uint8, pin_memory=self._pinned)
