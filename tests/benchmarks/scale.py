"""Work `scale`: what an event costs with few and with many users in the state. In process, no broker."""

from __future__ import annotations

import gc
import os
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from fusion.scorer import Scorer
from stream_app.events import EventBatch
from stream_app.models.life import load_configured
from stream_app.models.memory import held_dtype
from stream_app.settings import load
from stream_app.signals import derive
from stream_app.signals.settings import SignalSettings
from stream_app.state import StateSettings, TaskState
from tests.benchmarks.processes import resident_mib
from tests.benchmarks.state import RATE, START_MS, stream

FILL = 20_000
HOUR_MS = 3_600_000
BATCH = 2_048
SIGNALS = SignalSettings()
INPUTS = 4


def scale(*, few: int, many: int, events: int) -> dict[str, Any]:
    """Both sizes, and `many` over `few`. `visitors`: the events are of so many users that come again; `all`: of any."""
    torch.set_num_threads(1)
    scorer = load_configured(load()).scorer
    found = {str(users): measure(scorer, users=users, visitors=few, events=events) for users in (few, many)}
    small, large = found[str(few)], found[str(many)]
    ratios = {
        name: {step: round(large[name][step] / small[name][step], 2) for step in ("state", "with_scoring")}
        for name in ("visitors", "all")
    }
    return {"ratio": ratios, **found}


def measure(scorer: Scorer, *, users: int, visitors: int, events: int) -> dict[str, Any]:
    """CPU µs per event, and what the state takes."""
    before_mib = resident_mib(os.getpid())
    state = TaskState(StateSettings(), carried=held_dtype(scorer.carried_dtype), history=scorer.history, inputs=INPUTS)
    began, longest_s, now_ms = time.thread_time(), 0.0, START_MS
    for first in range(0, users, FILL):
        count = min(FILL, users - first)
        piece = stream(np.random.default_rng(first), events=count, users=count)
        piece.user[:] = [b"user-%d" % (first + one) for one in range(count)]
        now_ms += HOUR_MS
        piece.event_time_ms[:] += now_ms - START_MS
        turn = time.perf_counter()
        step(state, None, piece)
        longest_s = max(longest_s, time.perf_counter() - turn)
    fill_s = time.thread_time() - began
    gc.collect()
    held_mib = resident_mib(os.getpid()) - before_mib
    figures: dict[str, Any] = {
        "users": len(state),
        "bytes_per_user": round(state.memory_bytes() / len(state)),
        "resident_bytes_per_user": round(held_mib * (1 << 20) / len(state)),
        "fill_us_per_user": round(fill_s / users * 1e6, 2),
        "longest_fill_batch_s": round(longest_s, 3),
    }
    for name, among in (("visitors", visitors), ("all", users)):
        now_ms += HOUR_MS
        whole = drawn(users=users, among=among, events=events, now_ms=now_ms)
        now_ms += events * 1000 // RATE
        figures[name] = timed(state, scorer, whole)
    return figures


def drawn(*, users: int, among: int, events: int, now_ms: int) -> EventBatch:
    """Events of `among` of the users, spread evenly over the table."""
    rng = np.random.default_rng(among)
    whole = stream(rng, events=events, users=among)
    every = users // among
    whole.user[:] = [b"user-%d" % (one * every) for one in rng.integers(0, among, events).tolist()]
    whole.event_time_ms[:] += now_ms - START_MS
    return whole


def timed(state: TaskState, scorer: Scorer, whole: EventBatch) -> dict[str, float]:
    """CPU µs per event of the state's and the signals' steps, and of all with the model; the first quarter warms."""
    spent = {"state": 0.0, "score": 0.0}
    counted, longest_s = 0, 0.0
    for first in range(0, len(whole), BATCH):
        piece = whole.take(slice(first, min(first + BATCH, len(whole))))
        turn = time.perf_counter()
        for name, seconds in step(state, scorer, piece).items():
            if first >= len(whole) // 4:
                spent[name] += seconds
        if first >= len(whole) // 4:
            counted += len(piece)
            longest_s = max(longest_s, time.perf_counter() - turn)
    each = {name: 1e6 * seconds / counted for name, seconds in spent.items()}
    return {
        "state": round(each["state"], 2),
        "with_scoring": round(each["state"] + each["score"], 2),
        "longest_batch_ms": round(longest_s * 1000, 1),
    }


def step(state: TaskState, scorer: Scorer | None, piece: EventBatch) -> dict[str, float]:
    """One batch through admit, update, score, derive and the changelog's values; CPU seconds."""
    began = time.thread_time()
    scoring = 0.0
    for segment in state.admit(piece, int(piece.event_time_ms.max())).segments:
        state.close(segment.watermark_ms)
        accepted = piece.take(segment.index)
        rows = state.update(accepted)
        features, _ = state.features(accepted, rows)
        if scorer is None:
            continue
        carried = features.carried["carried"].copy()
        start = time.thread_time()
        made = scorer.score(replace(features, carried=carried))
        scoring += time.thread_time() - start
        held = features.carried
        held["carried"] = made.carried
        columns = made.columns
        state.carry(
            rows,
            held,
            events=accepted.take(rows.order),
            purchase=columns["purchase"]["score"],
            churn=columns["churn"]["score"],
            anomaly=columns["anomaly"]["score"],
            segment=columns["segment"]["id"],
            sentiment=np.full(len(rows), np.nan, np.float32),
        )
    finals = state.close()
    for windows in (finals, state.open_windows()):
        if scorer is not None and len(windows):
            derive(windows, SIGNALS)
    state.changes()
    return {"state": time.thread_time() - began - scoring, "score": scoring}
