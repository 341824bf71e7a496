"""Where the scorer's time goes, call by call. `stream-app evaluate cost` has the figures."""

from __future__ import annotations

import argparse
import cProfile
import pstats

import numpy as np

from fusion.recommender import ItemActivity, ItemIndex
from fusion.scorer import Scorer
from stream_app.evaluation.cost import measured
from tests.fusion.shoppers import ACTIONS, shoppers


def filled(index: ItemIndex, items: int = 10_000, visits: int = 60_000) -> list[int]:
    """Fill the index with sessions over `items` items; their hashes."""
    rng = np.random.default_rng(1)
    hashes = rng.integers(1, 2**63, items).astype(np.uint64)
    session = np.arange(visits) // 6
    item = np.concatenate([np.arange(items), (rng.zipf(1.3, visits - items) * 7 + session[items:]) % items])
    activity = ItemActivity.of(
        np.array([f"item-{i}" for i in item], object),
        hashes[item],
        session=(session + 1).astype(np.uint64),
        event_time_ms=1_700_000_000_000 + np.arange(visits) * 100,
        strength=np.ones(visits, np.uint8),
    )
    index.append(1, activity)
    return hashes.tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512, help="events of a batch")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    scorer = Scorer.load(device=arguments.device, actions=ACTIONS)
    hashes = filled(scorer.index)
    batches = [shoppers(arguments.size, seed=seed, hashes=hashes) for seed in range(8)]
    profile = cProfile.Profile()
    print(f"{profile.runcall(measured, scorer, batches, 3.0).least:.1f} CPU µs per event, while being profiled")
    pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
