"""A model as one safetensors file: weights, and its configuration as JSON in the metadata."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from encoders.protocol import quantise
from fusion.errors import CheckpointError
from fusion.model import FusedModel, ModelConfig

FORMAT = "stream-app fused model 1"
MAX_BYTES = 20 * 1024 * 1024
_TABLES = ("text.table.weight", "voice.text.table.weight")
"""Stored as int8 rows with a float16 scale each; all other floats as float16."""


class Checkpoint(NamedTuple):
    """A loaded model, in evaluation mode on the CPU."""

    model: FusedModel
    digest: str  # sha256 of the file


def save_checkpoint(model: FusedModel, path: Path) -> str:
    """Write the model, return its digest."""
    tensors: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        if name.startswith("voice.text.") and model.voice.text is model.text:
            continue  # the text encoder once more
        value = tensor.detach().cpu()
        if name in _TABLES:
            whole, scale = quantise(value)
            tensors[name], tensors[f"{name}.scale"] = whole, scale.half()
        else:
            tensors[name] = value.half() if value.is_floating_point() else value
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    data = save(tensors, {"format": FORMAT, "config": json.dumps(model.config.document(), sort_keys=True)})
    if len(data) > MAX_BYTES:
        raise CheckpointError(f"the model takes {len(data)} bytes, more than {MAX_BYTES}")
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a model; raises CheckpointError for anything that `save_checkpoint` did not write."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise CheckpointError(f"{path.name}: not a {FORMAT!r} file")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        model = FusedModel(ModelConfig.of(json.loads(metadata["config"])))
        model.load_state_dict(restored(tensors), strict=True)
    except CheckpointError:
        raise
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"{path.name}: {str(error).splitlines()[0][:200]}") from error
    wrong = next((name for name, tensor in model.state_dict().items() if not tensor.isfinite().all()), None)
    if wrong is not None:
        raise CheckpointError(f"{path.name}: {wrong} is not finite")
    return Checkpoint(model.eval(), hashlib.sha256(path.read_bytes()).hexdigest())


def restored(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The stored tensors as the model's own state."""
    state: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith(".scale"):
            continue
        if name in _TABLES:
            state[name] = tensor.float() * tensors[f"{name}.scale"].float()[:, None]
        else:
            state[name] = tensor.float() if tensor.dtype == torch.float16 else tensor
    if any(name.startswith("voice.text.") for name in state):
        return state
    return state | {f"voice.{name}": tensor for name, tensor in state.items() if name.startswith("text.")}
