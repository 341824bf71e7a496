"""Answers with modalities hidden, from what was already computed."""

from __future__ import annotations

import torch
from torch import Tensor

from fusion.heads.protocol import Fused
from fusion.model import MODALITIES, SLOT_MODALITY, FusedModel, Output, mask_of


def shown(model: FusedModel, output: Output, code: int, rows: Tensor) -> tuple[Tensor, Fused]:
    """Of the events `rows` those that have all modalities of the mask `code` and more, with the others hidden.

    What was said stays as the opinion that sentiment reads.
    """
    mask = output.fused.mask
    rows = rows.to(mask.device)
    rows = rows[((mask[rows] & code) == code) & (mask[rows] != code)]
    bits = (code >> torch.arange(len(MODALITIES), device=mask.device) & 1).bool()
    views = type(output.views)(*(part[rows] for part in output.views))
    present = views.present & bits[list(SLOT_MODALITY)]
    vector, _ = model.fusion.blend(views._replace(present=present))
    fused = output.fused
    there = present[:, :1]
    return rows, Fused(
        vector,
        fused.opinion[rows],
        fused.has_opinion[rows],
        fused.items[rows] * there,
        fused.rhythm[rows] * there,
        mask_of(present[:, 1:]),
    )


def name_of(code: int) -> str:
    """`behavior+voice`."""
    return "+".join(name for bit, name in enumerate(MODALITIES) if code >> bit & 1) or "nothing"
