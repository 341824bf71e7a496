"""Tensors anywhere in a value of tuples, lists and dicts, and whole values in one copy to a device and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor

from encoders.graphs import Staging

ALIGN = 64
"""Bytes; a tensor begins at a multiple."""

T = TypeVar("T")


def mapped(value: T, change: Callable[[Tensor], Tensor]) -> T:
    """The value with every tensor changed; anything but tuples, lists and dicts is kept."""
    result: Any = value
    if isinstance(value, Tensor):
        result = change(value)
    elif isinstance(value, dict):
        result = {key: mapped(each, change) for key, each in value.items()}
    elif isinstance(value, list):
        result = [mapped(each, change) for each in value]
    elif isinstance(value, tuple):
        parts = [mapped(each, change) for each in value]
        result = type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return result  # type: ignore[no-any-return]


def leaves(value: Any) -> list[Tensor]:
    """The tensors in their order."""
    found: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    mapped(value, note)
    return found


def refilled(value: T, tensors: Iterator[Tensor]) -> T:
    """The value with other tensors, in the order of `leaves`."""
    return mapped(value, lambda _: next(tensors))


def sent(value: T, staging: Staging) -> T:
    """The value on the staging's device, in one copy that nothing waits for. Inference only.

    Whole numbers of 64 bits come as 32: rows, places and counts fit.
    """
    parts = leaves(value)
    forms = [torch.empty_like(part, dtype=_narrow(part.dtype), device="meta") for part in parts]
    starts, end = [], 0
    for form in forms:
        starts.append(end)
        end += -(-form.nbytes // ALIGN) * ALIGN
    if not end:
        return mapped(value, lambda tensor: tensor.to(staging.device, _narrow(tensor.dtype)))
    row = staging.take(end)
    for part, form, start in zip(parts, forms, starts, strict=True):
        _read(row, start, form).copy_(part)
    with staging.copying():
        there = torch.empty(end, dtype=torch.uint8, device=staging.device)
        there.copy_(row, non_blocking=True)
        staging.sent()
    staging.arrived(there)
    return refilled(value, iter([_read(there, start, form) for form, start in zip(forms, starts, strict=True)]))


def _narrow(kind: torch.dtype) -> torch.dtype:
    return torch.int32 if kind == torch.int64 else kind


def fetched(value: T, device: torch.device) -> T:
    """The value of that device on the CPU, in one copy that is waited for; itself where it is there."""
    if device.type == "cpu":
        return value
    parts = leaves(value)
    row = packed(parts)
    here = torch.empty(len(row), dtype=torch.uint8, pin_memory=True)
    here.copy_(row, non_blocking=True)
    torch.cuda.current_stream(device).synchronize()
    return refilled(value, iter(unpacked(here, parts)))


def packed(parts: list[Tensor]) -> Tensor:
    """All bytes (m,) uint8; wide types first, so that each begins at a multiple of its own width."""
    wide_first = sorted(parts, key=lambda part: -part.itemsize)
    return torch.cat([part.contiguous().view(-1).view(torch.uint8) for part in wide_first])


def unpacked(row: Tensor, parts: list[Tensor]) -> list[Tensor]:
    """What `packed` made of tensors of such shapes, in their order."""
    made: list[Tensor] = [row] * len(parts)
    start = 0
    for place in sorted(range(len(parts)), key=lambda place: -parts[place].itemsize):
        made[place] = _read(row, start, parts[place])
        start += parts[place].nbytes
    return made


def _read(row: Tensor, start: int, like: Tensor) -> Tensor:
    """A part of a row of bytes as such a tensor, in place."""
    return row[start : start + like.nbytes].view(like.dtype).view(like.shape)
