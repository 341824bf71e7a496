"""Segments keep their ids and get names that differ."""

from __future__ import annotations

import numpy as np
import torch

from fusion.clustering import in_order, k_means, matched, names


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


def test_a_segment_keeps_the_id_that_its_users_had() -> None:
    before = np.repeat([0, 1, 2], [50, 30, 20])
    now = np.repeat([2, 0, 1], [50, 30, 20])  # the same groups, numbered otherwise
    now[:5] = 1  # and a few who changed
    order = matched(before, now, 3)
    assert order.tolist() == [2, 0, 1]
    fewer = matched(np.array([0, 7, 7]), np.array([1, 0, 0]), 2)
    assert fewer.tolist() == [1, 0], "ids that are no more are nobody's"
