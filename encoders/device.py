"""Where to compute."""

from __future__ import annotations

import torch


def device_of(name: str = "auto") -> torch.device:
    """The device of this name; "auto" is a GPU where there is one."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def seeds_of(device: torch.device) -> list[torch.device]:
    """The devices besides the CPU whose generators `torch.random.fork_rng` has to keep."""
    return [] if device.type == "cpu" else [device]


def quick_precision() -> torch.dtype:
    """bfloat16 where the processor multiplies it, several times as fast as float32; elsewhere that takes ten times as
    long. Results differ by about 1 %."""
    able: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32
