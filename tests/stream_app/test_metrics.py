"""Metrics: what is rendered, label sets that cannot grow, and the cost of one batch."""

import re
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.parser import text_string_to_metric_families

from stream_app.metrics import LATENCY_BOUNDS_S, OTHER, STAGES, TOPICS, Distribution, Metrics

EPOCH_MS = 1_700_000_000_000


def value(metrics: Metrics, name: str, /, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def observe(metrics: Metrics, n: int = 4, **changes: object) -> None:
    batch = {
        "consumed": {"clicks": n + 1},
        "verdicts": {("clicks", "predicted"): n, ("clicks", "duplicate"): 1},
        "arrival_ms": np.full(n, EPOCH_MS),
        "committed_ms": EPOCH_MS + 40,
    }
    metrics.observe_batch(**(batch | changes))  # type: ignore[arg-type]


@given(st.lists(st.floats(-1, 400) | st.sampled_from([np.nan, np.inf]), max_size=60))
def test_one_by_one_is_as_all_at_once(samples: list[float]) -> None:
    together, singly = Distribution("x", "x", LATENCY_BOUNDS_S), Distribution("x", "x", LATENCY_BOUNDS_S)
    together.observe(np.array(samples, np.float64))
    for sample in samples:
        singly.observe_one(sample)
    assert together.counts().tolist() == singly.counts().tolist()


@given(st.lists(st.floats(0, 400, allow_nan=False), max_size=60))
def test_a_distribution_fills_the_same_buckets_as_the_library(samples: list[float]) -> None:
    registry = CollectorRegistry()
    oracle = Histogram("x", "x", buckets=LATENCY_BOUNDS_S, registry=registry)
    for sample in samples:
        oracle.observe(sample)
    ours = Distribution("x", "x", LATENCY_BOUNDS_S)
    ours.observe(np.array(samples))
    theirs = {s.labels["le"]: s.value for m in registry.collect() for s in m.samples if s.name == "x_bucket"}
    mine = {float(s.labels["le"]): s.value for m in ours.collect() for s in m.samples if s.name == "x_bucket"}
    assert mine == {float(bound): n for bound, n in theirs.items()}


@given(st.lists(st.floats(0.001, 50), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_lies_in_the_bucket_of_the_exact_one(samples: list[float], q: float) -> None:
    ours = Distribution("x", "x", LATENCY_BOUNDS_S)
    ours.observe(np.array(samples))
    exact = float(np.quantile(samples, q, method="inverted_cdf"))
    bucket = int(np.searchsorted(ours.bounds, exact))
    found = ours.quantile(q, ours.counts())
    assert found is not None
    assert (ours.bounds[bucket - 1] if bucket else 0) <= found <= ours.bounds[bucket] + 1e-12


def test_an_empty_distribution_has_no_quantile_and_one_above_all_bounds_gives_the_last() -> None:
    ours = Distribution("x", "x", (1.0, 2.0))
    assert ours.quantile(0.5, ours.counts()) is None
    ours.observe(np.array([50.0]))
    assert ours.quantile(0.5, ours.counts()) == 2.0


def test_samples_that_are_not_finite_are_left_out_and_negative_ones_count_as_zero() -> None:
    ours = Distribution("x", "x", (1.0,))
    ours.observe(np.array([np.nan, np.inf, -5.0, 0.5]))
    assert ours.counts().tolist() == [2, 0]


def test_a_batch_shows_in_every_metric_it_touches() -> None:
    metrics = Metrics(signals=("hot_lead",))
    observe(
        metrics,
        dead_letters={("decode", "malformed_json"): 2},
        engagement={"update": 3, "final": 1},
        signals={"hot_lead": 1},
    )
    assert value(metrics, "behavior_records_consumed_total", topic="clicks") == 5
    assert value(metrics, "behavior_verdicts_total", topic="clicks", verdict="duplicate") == 1
    assert value(metrics, "behavior_dead_letters_total", stage="decode", code="malformed_json") == 2
    assert value(metrics, "behavior_predictions_total") == 4
    assert value(metrics, "behavior_engagement_records_total", kind="final") == 1
    assert value(metrics, "behavior_signals_total", signal="hot_lead") == 1
    assert value(metrics, "behavior_end_to_end_latency_seconds_count") == 4
    assert value(metrics, "behavior_end_to_end_latency_seconds_bucket", le="0.03") == 0
    assert value(metrics, "behavior_end_to_end_latency_seconds_bucket", le="0.04") == 4
    assert value(metrics, "behavior_batch_events_sum") == 5


def test_label_values_outside_their_closed_set_become_other() -> None:
    metrics = Metrics()
    before = len(metrics.render().splitlines())
    for k in range(50):
        observe(metrics, consumed={f"user-{k}": 1}, dead_letters={(f"s{k}", f"c{k}"): 1}, signals={f"q{k}": 1})
    assert len(metrics.render().splitlines()) <= before + 4
    assert value(metrics, "behavior_records_consumed_total", topic=OTHER) == 50
    assert b"user-" not in metrics.render()


def test_a_stage_is_timed_in_wall_and_cpu_seconds() -> None:
    metrics = Metrics()
    with metrics.stage("decode", 100):
        sum(range(50_000))
    assert value(metrics, "behavior_stage_latency_seconds_count", stage="decode") == 1
    assert value(metrics, "behavior_stage_events_total", stage="decode") == 100
    cpu_s = value(metrics, "behavior_stage_cpu_seconds_total", stage="decode")
    assert cpu_s is not None
    assert 0 < cpu_s < 1


def test_a_task_that_moves_away_takes_its_series_with_it() -> None:
    metrics = Metrics()
    for partition in (1, 2):
        metrics.set_task(partition, watermark_lag_s=5, rows=10, size_bytes=1000)
        metrics.set_lag("clicks", partition, records=3, seconds=0.5)
        metrics.set_restored(partition, 0.2)
    metrics.forget_task(1)
    text = metrics.render().decode()
    assert 'partition="1"' not in text
    assert text.count('partition="2"') == 6


def test_every_name_follows_the_house_and_counters_start_at_zero() -> None:
    metrics = Metrics()
    families = [f for f in text_string_to_metric_families(metrics.render().decode()) if f.name[:7] != "process"]
    assert all(re.fullmatch(r"behavior_[a-z_]+", family.name) for family in families)
    assert not [f.name for f in families if f.name.endswith("_created")]
    for topic in TOPICS:
        assert value(metrics, "behavior_records_consumed_total", topic=topic) == 0
    for stage in STAGES:
        assert value(metrics, "behavior_stage_latency_seconds_count", stage=stage) == 0


def test_the_model_is_named() -> None:
    metrics = Metrics()
    metrics.set_model(name="fused", version="1", digest="abc")
    assert value(metrics, "behavior_model_info", name="fused", version="1", digest="abc") == 1


@pytest.mark.parametrize(("events", "limit_us"), [(64, 1500), (4096, 2500)])
def test_one_batch_costs_little(events: int, limit_us: float) -> None:
    metrics, rounds = Metrics(), 50
    arrival_ms = EPOCH_MS + np.arange(events)
    best_s = float("inf")
    for _ in range(rounds):
        start_s = time.thread_time()
        observe(metrics, events, arrival_ms=arrival_ms, committed_ms=EPOCH_MS + events + 20)
        for stage in STAGES:
            metrics.observe_stage(stage, 0.003, events, cpu_seconds=0.002)
        best_s = min(best_s, time.thread_time() - start_s)
    assert best_s * 1e6 < limit_us
