"""Where the scorer's time goes, call by call, and how many pages a batch maps: `python -m tests.benchmarks.scorer`.

`stream-app evaluate cost` has the figures.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import resource

from fusion.features import FeatureBatch
from fusion.scorer import Scorer
from stream_app.evaluation.cost import measured
from stream_app.worker.memory import keep_large_apart
from tests.fusion.shoppers import ACTIONS, filled, shoppers

TURNS = 3


def pages(scorer: Scorer, batches: list[FeatureBatch]) -> float:
    """Page faults per event of batches that come again, in a process whose memory is the worker's."""
    for batch in batches:
        scorer.score(batch)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(TURNS):
        for batch in batches:
            scorer.score(batch)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return faults / (TURNS * sum(map(len, batches)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512, help="events of a batch")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    keep_large_apart()
    scorer = Scorer.load(device=arguments.device, actions=ACTIONS)
    hashes = filled(scorer.index)
    batches = [shoppers(arguments.size, seed=seed, hashes=hashes) for seed in range(8)]
    print(f"{pages(scorer, batches):.2f} page faults per event")
    profile = cProfile.Profile()
    print(f"{profile.runcall(measured, scorer, batches, 3.0).least:.1f} CPU µs per event, while being profiled")
    pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
