"""Where to compute."""

from __future__ import annotations

import torch


def device_of(name: str = "auto") -> torch.device:
    """The device of this name; "auto" is a GPU where there is one."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def seeds_of(device: torch.device) -> list[torch.device]:
    """The devices besides the CPU whose generators `torch.random.fork_rng` has to keep."""
    return [] if device.type == "cpu" else [device]
