"""Whether the model can be read and knows what events do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from stream_app.doctor.check import Finding
from stream_app.settings import Settings

if TYPE_CHECKING:
    from fusion.checkpoint import Checkpoint


async def model(settings: Settings) -> list[Finding]:
    """The artefact, its actions, its device."""
    import torch

    from fusion.errors import CheckpointError
    from stream_app.events import ACTIONS

    if settings.model.device == "cuda" and not torch.cuda.is_available():
        return [Finding("model", "fail", "model.device is cuda and there is none", "set it to auto or cpu")]
    try:
        checkpoint = await asyncio.to_thread(artefact, settings)
    except CheckpointError as error:
        return [Finding("model", "fail", str(error), "name another file in model.path, or remove the setting")]
    config = checkpoint.model.config
    if unknown := sorted(set(ACTIONS) - set(config.actions)):
        return [
            Finding("model", "warn", f"it never saw {', '.join(unknown)}", "train it with this version of stream-app")
        ]
    return [Finding("model", "ok", f"{config.name} {config.version}, sha256 {checkpoint.digest[:12]}…")]


def artefact(settings: Settings) -> Checkpoint:
    """What a worker would load."""
    from fusion.checkpoint import load_checkpoint
    from fusion.scorer import ARTEFACT

    return load_checkpoint(settings.model.path or ARTEFACT)
