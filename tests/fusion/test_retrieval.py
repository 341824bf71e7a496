"""Recommendations mix what the index knows with the user's direction."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from encoders.behavior import ITEM_ROWS, item_rows
from fusion.recommender import ItemActivity, ItemIndex
from fusion.retrieval import Retrieval


def shop(items: int, *, seed: int = 0) -> tuple[Retrieval, np.ndarray]:
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    table = nn.Embedding(2 * ITEM_ROWS + 1, 64, padding_idx=0)
    hashes = rng.integers(1, 2**63, items).astype(np.uint64)
    visits = rng.integers(0, items, 10 * items) if items else np.zeros(0, int)
    index = ItemIndex()
    index.append(
        1,
        ItemActivity.of(
            np.array([f"p{i}" for i in visits], object),
            hashes[visits],
            session=(np.arange(len(visits)) // 5 + 1).astype(np.uint64),
            event_time_ms=np.arange(len(visits)) * 1000,
            strength=np.ones(len(visits), np.uint8),
        ),
    )
    return Retrieval(table, index), hashes


def test_nothing_known_nothing_recommended() -> None:
    retrieve, _ = shop(0)
    found, score = retrieve(torch.randn(3, 64), np.zeros((3, 10), np.uint64), 5)
    assert found.shape == score.shape == (3, 5)
    assert all(item is None for item in found.ravel())


def test_fewer_items_than_asked_for() -> None:
    retrieve, hashes = shop(3)
    found, _ = retrieve(torch.randn(2, 64), np.repeat(hashes[None, :1], 2, 0), 10)
    assert found.shape == (2, 10)
    assert {item for item in found[0] if item} <= {"p0", "p1", "p2"}


def test_best_first_distinct_and_drawn_towards_the_direction() -> None:
    retrieve, hashes = shop(200)
    recent = np.repeat(hashes[None, 7:9], 2, 0)
    candidates, _ = retrieve.index.recommend(recent[:1], 20)
    liked = candidates[0, 15]
    rows = torch.from_numpy(item_rows(retrieve.index.hashes[[liked]]))
    towards = F.normalize(F.embedding_bag(rows, retrieve.items.weight, mode="sum"), dim=-1)
    found, score = retrieve.rows(torch.cat([towards, -towards]), recent, 10)
    assert (np.diff(score, axis=1) <= 0).all()
    assert all(len(set(row)) == 10 for row in found.tolist())
    order = [row.tolist().index(liked) if liked in row else 99 for row in found]
    assert order[0] < order[1]


def test_alone_equals_in_a_batch() -> None:
    retrieve, hashes = shop(200, seed=2)
    direction = F.normalize(torch.randn(8, 64), dim=-1)
    recent = np.random.default_rng(0).choice(hashes, (8, 10))
    together, _ = retrieve.rows(direction, recent, 10)
    for i in range(8):
        alone, _ = retrieve.rows(direction[i : i + 1], recent[i : i + 1], 10)
        np.testing.assert_array_equal(alone[0], together[i])
