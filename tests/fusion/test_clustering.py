"""Segments keep their ids and get names that differ."""

from __future__ import annotations

import numpy as np
import torch

from fusion.clustering import in_order, k_means, names


def test_k_means_finds_separate_groups_largest_first() -> None:
    torch.manual_seed(0)
    groups = [torch.randn(size, 5) * 0.1 + 10 * at for at, size in enumerate((30, 90, 60))]
    points = torch.cat(groups)
    centres = in_order(k_means(points, 3, seed=0), points)
    torch.testing.assert_close(centres[:, 0], torch.tensor([10.0, 20.0, 0.0]), atol=0.1, rtol=0)


def test_the_same_seed_gives_the_same_centres() -> None:
    points = torch.randn(200, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(k_means(points, 6, seed=3), k_means(points, 6, seed=3))


def test_labels_name_what_stands_out_and_differ() -> None:
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(4), 50)
    traits = rng.normal(size=(200, 2)) * 0.1
    traits[cluster == 0, 0] += 5
    traits[cluster == 1, 1] += 5
    traits[cluster == 2, 1] += 4
    labels = names(traits, cluster, ("purchase", "search"), 4)
    assert labels[:2] == ["buyers", "searchers"]
    assert labels[3] == "average shoppers"
    assert len(set(labels)) == 4
