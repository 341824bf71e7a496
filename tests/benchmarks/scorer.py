"""Where the scorer's time goes, call by call. `stream-app evaluate cost` has the figures."""

from __future__ import annotations

import argparse
import cProfile
import pstats

from fusion.scorer import Scorer
from stream_app.evaluation.cost import measured
from tests.fusion.shoppers import ACTIONS, filled, shoppers


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
