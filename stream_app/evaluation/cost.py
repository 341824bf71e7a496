"""What one event costs on a CPU: the shipped model with all heads, a catalogue of 10,000 products and the shares.

CPU time of the scoring thread, so that a busy machine changes little; the least of many turns is the figure, since
whatever else runs can only add to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from encoders.behavior import STATE
from fusion.features import FeatureBatch
from fusion.scorer import STEPS, Scorer
from stream_app.evaluation.row import Row, Run
from stream_app.evaluation.traffic import batches, learn_catalogue, traffic
from stream_app.events import ACTIONS

SIZES = (1, 64, 512, 4096)
STEPS_OF = 512
"""The batch size whose steps are shown."""
BATCHES = 4
SECONDS, QUICK_SECONDS = 6.0, 0.5
"""How long each size is measured."""
LEAST_TURNS = 5
ENCODED_EVENTS, ENCODED_USERS = 50, 512


@dataclass(frozen=True)
class Cost:
    """CPU µs per event, a figure for each turn."""

    us: list[float]
    steps_us: dict[str, list[float]]

    @property
    def least(self) -> float:
        """Of all turns."""
        return min(self.us)

    @property
    def interval(self) -> tuple[float, float]:
        """Between which 95 % of the turns lie."""
        low, high = np.quantile(self.us, [0.025, 0.975])
        return float(low), float(high)


def cost(run: Run) -> Iterator[Row]:
    """`cpu_us_per_event_batch_N`, steps of the batch of 512, and a 50-event GRU re-encoded per event beside each.

    `interval` is where 95 % of the turns lie. Set `simulator`: no data folder is needed.
    """
    if not run.wants("simulator"):
        return
    threads = torch.get_num_threads()
    scorer = Scorer.load(device="cpu", actions=ACTIONS)  # one thread from here on
    try:
        seconds = QUICK_SECONDS if run.quick else SECONDS
        sizes = SIZES[:-1] if run.quick else SIZES
        with run.console.status("inventing shoppers") as status:
            events = traffic((BATCHES + 2) * sizes[-1])
            learn_catalogue(scorer.index, events)
            for size in sizes:
                status.update(f"scoring batches of {size}")
                found = measured(scorer, batches(scorer, events, size, BATCHES), seconds)
                beside = {"gru_over_50_events": re_encoding()}  # a busy machine slows both
                yield Row(
                    "cost", "simulator", f"cpu_us_per_event_batch_{size}", found.least, found.interval, baselines=beside
                )
                for step in STEPS if size == STEPS_OF else ():
                    least = min(found.steps_us[step])
                    yield Row("cost", "simulator", f"cpu_us_per_event_{step}", least, baselines={"all": found.least})
    finally:
        torch.set_num_threads(threads)


def measured(scorer: Scorer, given: Sequence[FeatureBatch], seconds: float) -> Cost:
    """Score the batches in turn for so long, after one turn that does not count."""
    for batch in given:
        scorer.score(batch)
    us: list[float] = []
    steps: dict[str, list[float]] = {step: [] for step in STEPS}
    until = time.perf_counter() + seconds
    while len(us) < LEAST_TURNS or time.perf_counter() < until:
        spent = dict.fromkeys(STEPS, 0.0)
        last = 0.0

        def told(step: str) -> None:
            nonlocal last
            now = time.thread_time()
            spent[step] += now - last  # noqa: B023  called within this turn
            last = now

        began = time.thread_time()
        for batch in given:
            last = time.thread_time()
            scorer.score(batch, told=told)
        count = sum(map(len, given)) / 1e6
        us.append((time.thread_time() - began) / count)
        for step in STEPS:
            steps[step].append(spent[step] / count)
    return Cost(us, steps)


@torch.inference_mode()
def re_encoding() -> float:
    """CPU µs of encoding one user's last 50 events anew with a GRU as large as ours, 512 users at a time."""
    torch.manual_seed(0)
    gru = torch.nn.GRU(STATE, STATE, batch_first=True).eval()
    events = torch.randn(ENCODED_USERS, ENCODED_EVENTS, STATE)
    return least_us(lambda: gru(events)) / ENCODED_USERS


def least_us(work: Callable[[], object], turns: int = 7) -> float:
    """CPU µs of the quickest of some turns, after one that does not count."""
    work()
    took: list[float] = []
    for _ in range(turns):
        began = time.thread_time()
        work()
        took.append(time.thread_time() - began)
    return min(took) * 1e6
