"""A tiny BERT for tests."""

from __future__ import annotations

import torch

WIDTH, WORDS = 48, 30


def tiny_weights(*, layers: int = 2) -> dict[str, torch.Tensor]:
    """A BERT of so many layers, chance weights."""
    generator = torch.Generator().manual_seed(0)

    def chance(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * 0.3

    sizes = {"word_embeddings": WORDS, "position_embeddings": 16, "token_type_embeddings": 2}
    weights = {f"embeddings.{name}.weight": chance(size, WIDTH) for name, size in sizes.items()}
    linear = {"attention.self.query": (WIDTH, WIDTH), "attention.self.key": (WIDTH, WIDTH)}
    linear |= {"attention.self.value": (WIDTH, WIDTH), "attention.output.dense": (WIDTH, WIDTH)}
    linear |= {"intermediate.dense": (4 * WIDTH, WIDTH), "output.dense": (WIDTH, 4 * WIDTH)}
    norms = ["embeddings.LayerNorm"]
    for layer in range(layers):
        at = f"encoder.layer.{layer}"
        for name, shape in linear.items():
            weights |= {f"{at}.{name}.weight": chance(*shape), f"{at}.{name}.bias": chance(shape[0])}
        norms += [f"{at}.attention.output.LayerNorm", f"{at}.output.LayerNorm"]
    for name in norms:
        weights |= {f"{name}.weight": 1 + chance(WIDTH), f"{name}.bias": chance(WIDTH)}
    return weights
