"""The image encoder: which kind of thing a photo shows."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from encoders.protocol import VECTOR
from fusion.disturbance import disturbed
from fusion.material import Photos
from fusion.training.bench import Bench, shuffled
from fusion.training.descent import Stage
from fusion.training.encoding import device_of

BATCH = 64
SHARPNESS = 10
"""Vectors have length 1; their logits are this much larger."""


def learn_photos(bench: Bench, photos: Photos, valid: Photos) -> None:
    """All kinds at once; nothing where there are no photos."""
    if not len(photos.data):
        return
    model, epochs, device = bench.model, bench.plan.image_epochs, device_of(bench.model)
    kinds = nn.Linear(VECTOR, int(photos.kind.max()) + 1).to(device)
    pixels, pixels_valid = (model.image.prepare(p.data.tolist()).pixels.to(device) for p in (photos, valid))
    kind, kind_valid = (torch.from_numpy(p.kind).to(device) for p in (photos, valid))
    optimiser = torch.optim.AdamW([*model.image.parameters(), *kinds.parameters()], lr=3e-3, weight_decay=0.02)
    steps = epochs * -(-len(pixels) // BATCH)

    def loss(chosen: NDArray[np.int64]) -> Tensor:
        at = torch.from_numpy(chosen).to(device)
        logits = kinds(model.image.look(disturbed(pixels[at])) * SHARPNESS)
        return F.cross_entropy(logits, kind[at], label_smoothing=0.05)

    def judge() -> dict[str, float]:
        logits = kinds(model.image.look(pixels_valid) * SHARPNESS)
        right = (logits.argmax(1) == kind_valid).float().mean().item()
        return {"valid_loss": F.cross_entropy(logits, kind_valid).item(), "valid_accuracy": right}

    bench.descend(
        Stage(
            name="photos",
            epochs=epochs,
            modules=[model.image, kinds],
            optimisers=[optimiser],
            schedules=[torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=steps)],
            batches=lambda: shuffled(len(pixels), BATCH, bench.rng),
            loss=loss,
            judge=judge,
            patience=epochs,
        )
    )
