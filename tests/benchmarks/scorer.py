"""µs per event of the scorer on one core: `python -m tests.benchmarks.scorer [--profile]`."""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import time

import numpy as np

from fusion.recommender import ItemActivity, ItemIndex
from fusion.scorer import Scorer
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


def measure(scorer: Scorer, size: int, hashes: list[int], seconds: float = 3.0) -> dict[str, float]:
    """Median and 99th percentile of one batch, and µs per event: of the median, and of this thread's CPU time."""
    batches = [shoppers(size, seed=seed, hashes=hashes) for seed in range(8)]
    for batch in batches:
        scorer.score(batch)
    took: list[float] = []
    cpu_s = time.thread_time()
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(took) < 10:
        start = time.perf_counter()
        scorer.score(batches[len(took) % len(batches)])
        took.append(time.perf_counter() - start)
    cpu_s = time.thread_time() - cpu_s
    median = float(np.median(took))
    return {
        "batch": size,
        "median_ms": round(median * 1e3, 3),
        "p99_ms": round(float(np.quantile(took, 0.99)) * 1e3, 3),
        "us_per_event": round(median / size * 1e6, 1),
        "cpu_us_per_event": round(cpu_s / len(took) / size * 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", action="store_true", help="also print where the time of batch 512 goes")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    scorer = Scorer.load(device=arguments.device, actions=ACTIONS)
    hashes = filled(scorer.index)
    for size in (1, 64, 512):
        print(json.dumps(measure(scorer, size, hashes)))
    if arguments.profile:
        profile = cProfile.Profile()
        profile.runcall(measure, scorer, 512, hashes)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
