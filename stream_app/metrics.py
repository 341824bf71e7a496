"""What Prometheus sees of one worker. Called once per batch, never per event; knows no Kafka and no state."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.exposition import generate_latest

from fusion.features import TIERS
from stream_app.events import EVENT_TYPES, dead_letters
from stream_app.models.metrics import ModelMetrics

TOPICS = tuple(EVENT_TYPES)
VERDICTS = ("predicted", "duplicate", "late", "partial", "suppressed", "dead_lettered", "routed")
STAGES = ("decode", "admit", "update", "score", "derive", "grade", "publish", "commit")
DEVICES = ("cpu", "cuda")
OTHER = "other"
"""Stands for any label value outside its closed set, so that no input can grow the number of series."""

LATENCY_BOUNDS_S = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)
BATCH_BOUNDS = tuple(float(4**k) for k in range(9))  # 1 .. 65,536 events


def read(family: Counter | Gauge) -> dict[tuple[str, ...], float]:
    """The present values of one counter or gauge by label values."""
    return {tuple(s.labels.values()): s.value for metric in family.collect() for s in metric.samples}


class Distribution:
    """A Prometheus histogram filled from whole arrays; one label at most."""

    def __init__(
        self,
        name: str,
        help_text: str,
        bounds: Sequence[float],
        *,
        label: str = "",
        values: Sequence[str] = ("",),
    ) -> None:
        self.name, self.help_text, self.label = name, help_text, label
        self.bounds = np.asarray(bounds, np.float64)  # (b,)
        self._edges: list[float] = self.bounds.tolist()
        self._row = {value: k for k, value in enumerate(values)}
        self._counts: NDArray[np.int64] = np.zeros((len(values), len(bounds) + 1), np.int64)
        self._sums = np.zeros(len(values))
        self._lock = threading.Lock()

    def observe(self, samples: NDArray[Any], label: str = "") -> None:
        """Add all samples (n,); negative ones count as 0, those not finite are left out."""
        samples = np.maximum(samples[np.isfinite(samples)], 0)
        bucket = np.searchsorted(self.bounds, samples, side="left")
        counts = np.bincount(bucket, minlength=len(self.bounds) + 1)
        with self._lock:
            self._counts[self._row[label]] += counts
            self._sums[self._row[label]] += samples.sum()

    def observe_one(self, sample: float, label: str = "") -> None:
        """As `observe`, of one sample: arrays cost ten times that."""
        if isfinite(sample):
            sample = max(sample, 0.0)
            with self._lock:
                self._counts[self._row[label], bisect_left(self._edges, sample)] += 1
                self._sums[self._row[label]] += sample

    def counts(self, label: str = "") -> NDArray[np.int64]:
        """A copy of the counts per bucket, the last one above all bounds."""
        with self._lock:
            return np.array(self._counts[self._row[label]])

    def quantile(self, q: float, counts: NDArray[np.int64]) -> float | None:
        """The q-quantile of `counts` (a difference of two `counts()`), linear in a bucket; None if empty."""
        total = np.cumsum(counts)
        if not total[-1]:
            return None
        k = int(np.searchsorted(total, q * total[-1], side="left"))
        if k == len(self.bounds):
            return float(self.bounds[-1])
        low, below = (self.bounds[k - 1], total[k - 1]) if k else (0.0, 0)
        return float(low + (self.bounds[k] - low) * (q * total[-1] - below) / counts[k])

    def describe(self) -> list[HistogramMetricFamily]:
        """The family without samples; the registry asks for it once."""
        return [HistogramMetricFamily(self.name, self.help_text, labels=[self.label] if self.label else [])]

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The family with its samples, as the registry wants it."""
        with self._lock:
            counts, sums = np.cumsum(self._counts, axis=1), self._sums.copy()
        family = self.describe()[0]
        bounds = [*(f"{bound:g}" for bound in self.bounds), "+Inf"]
        for value, row in self._row.items():
            buckets = list(zip(bounds, counts[row].tolist(), strict=True))
            family.add_metric([value] if self.label else [], buckets, float(sums[row]))
        yield family


class Metrics:
    """Every metric of a worker, on a registry of its own. Methods may be called from any thread."""

    def __init__(self, *, topics: Sequence[str] = TOPICS, signals: Sequence[str] = ()) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._allowed = {
            "topic": frozenset(topics),
            "verdict": frozenset(VERDICTS),
            "stage": frozenset((*STAGES, *dead_letters.STAGES)),
            "code": frozenset(dead_letters.CODES),
            "kind": frozenset(("update", "final")),
            "signal": frozenset(signals),
        }

        def counter(name: str, help_text: str, *labels: str) -> Counter:
            return Counter(f"behavior_{name}", help_text, labels, registry=registry)

        def gauge(name: str, help_text: str, *labels: str) -> Gauge:
            return Gauge(f"behavior_{name}", help_text, labels, registry=registry)

        self.consumed = counter("records_consumed", "Records read from the inputs", "topic")
        self.verdicts = counter("verdicts", "What became of the records read", "topic", "verdict")
        self.dead_letters = counter("dead_letters", "Records set aside as bad", "stage", "code")
        self.predictions = counter("predictions", "Predictions committed")
        self.tiers = counter("tier_events", "Predictions committed, by what they left out under overload", "tier")
        self.engagement = counter("engagement_records", "Engagement records committed", "kind")
        self.signals = counter("signals", "Signals fired", "signal")
        self.transactions = counter("transactions", "Kafka transactions committed")
        self.transactions_failed = counter("transactions_failed", "Kafka transactions that did not commit")
        self.rebalances = counter("rebalances", "Times that partitions were assigned anew")
        self.restarts = counter("restarts", "Times that the supervisor started this worker again")
        self.device_busy = counter("device_busy_seconds", "Time in which the model was scoring", "device")
        self.cpu = counter("stage_cpu_seconds", "CPU time per stage", "stage")
        self.stage_events = counter("stage_events", "Events that passed a stage", "stage")
        self._passed = {name: (self.stage_events.labels(name), self.cpu.labels(name)) for name in STAGES}
        self.lag = gauge("lag_records", "Records not yet read", "topic", "partition")
        self.lag_seconds = gauge("lag_seconds", "Age of the oldest record not yet read", "topic", "partition")
        self.watermark_lag = gauge("watermark_lag_seconds", "Wall clock minus watermark", "partition")
        self.queue_depth = gauge("queue_depth_records", "Records fetched and not yet committed")
        self.state_rows = gauge("state_rows", "Users held in memory", "partition")
        self.state_bytes = gauge("state_bytes", "Memory of the state", "partition")
        self.restore = gauge("state_restore_seconds", "How long the last restore took", "partition")
        self.catalogue = gauge("catalogue_items", "Items of the catalogue held for people to see")
        self.up = gauge("up", "1 while the worker runs")
        self.ready = gauge("ready", "1 while every assigned task is restored and nothing is paused")
        self.model_name = ("", "")
        self.model = Info("behavior_model", "The model that is serving", registry=registry)
        self.models = ModelMetrics(registry)
        self.latency = Distribution(
            "behavior_end_to_end_latency_seconds", "Arrival in Kafka to committed output", LATENCY_BOUNDS_S
        )
        self.batch = Distribution("behavior_batch_events", "Events per batch", BATCH_BOUNDS)
        self.stages = Distribution(
            "behavior_stage_latency_seconds",
            "Time of one batch in a stage",
            LATENCY_BOUNDS_S,
            label="stage",
            values=STAGES,
        )
        for distribution in (self.latency, self.batch, self.stages):
            registry.register(distribution)
        self._show_zeros(topics, signals)

    def observe_batch(
        self,
        *,
        consumed: Mapping[str, int],
        verdicts: Mapping[tuple[str, str], int],
        arrival_ms: NDArray[np.int64],
        committed_ms: int,
        dead_letters: Mapping[tuple[str, str], int] | None = None,
        engagement: Mapping[str, int] | None = None,
        signals: Mapping[str, int] | None = None,
        tiers: Mapping[str, int] | None = None,
    ) -> None:
        """Count one committed batch.

        `consumed` per topic, `verdicts` per (topic, verdict), `dead_letters` per (stage, code), `engagement`
        per kind ("update", "final"), `signals` per name; `tiers` per tier; `arrival_ms` (n,) Kafka times of what
        was predicted.
        """
        for topic, n in consumed.items():
            self.consumed.labels(self._close("topic", topic)).inc(n)
        for (topic, verdict), n in verdicts.items():
            self.verdicts.labels(self._close("topic", topic), self._close("verdict", verdict)).inc(n)
        for (stage, code), n in (dead_letters or {}).items():
            self.dead_letters.labels(self._close("stage", stage), self._close("code", code)).inc(n)
        for kind, n in (engagement or {}).items():
            self.engagement.labels(self._close("kind", kind)).inc(n)
        for signal, n in (signals or {}).items():
            self.signals.labels(self._close("signal", signal)).inc(n)
        for tier, n in (tiers or {}).items():
            self.tiers.labels(tier).inc(n)
        self.predictions.inc(len(arrival_ms))
        self.batch.observe_one(sum(consumed.values()))
        self.latency.observe((committed_ms - arrival_ms) / 1e3)

    def observe_stage(self, name: str, seconds: float, events: int, *, cpu_seconds: float = 0.0) -> None:
        """Count one batch's passage through one of STAGES."""
        self.stages.observe_one(seconds, name)
        passed, cpu = self._passed[name]
        passed.inc(events)
        cpu.inc(cpu_seconds)

    @contextmanager
    def stage(self, name: str, events: int) -> Iterator[None]:
        """Time a stage: wall and this thread's CPU. Never around an await, which would count others' work."""
        wall_s, cpu_s = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            spent_s = time.thread_time() - cpu_s
            self.observe_stage(name, time.perf_counter() - wall_s, events, cpu_seconds=spent_s)

    def observe_transaction(self, *, committed: bool) -> None:
        """Count one transaction that ended."""
        (self.transactions if committed else self.transactions_failed).inc()

    def set_lag(self, topic: str, partition: int, *, records: int, seconds: float) -> None:
        """Say how far behind an input is."""
        labels = (self._close("topic", topic), str(partition))
        self.lag.labels(*labels).set(records)
        self.lag_seconds.labels(*labels).set(seconds)

    def set_task(self, partition: int, *, watermark_lag_s: float, rows: int, size_bytes: int) -> None:
        """Say how a task stands."""
        self.watermark_lag.labels(str(partition)).set(watermark_lag_s)
        self.state_rows.labels(str(partition)).set(rows)
        self.state_bytes.labels(str(partition)).set(size_bytes)

    def set_restored(self, partition: int, seconds: float) -> None:
        """Say how long a task's restore took."""
        self.restore.labels(str(partition)).set(seconds)

    def forget_task(self, partition: int) -> None:
        """Drop the series of a task that another worker now owns."""
        for family in (self.watermark_lag, self.state_rows, self.state_bytes, self.restore):
            family.remove_by_labels({"partition": str(partition)})
        for family in (self.lag, self.lag_seconds):
            family.remove_by_labels({"partition": str(partition)})

    def set_model(self, *, name: str, version: str, digest: str) -> None:
        """Say which model is serving."""
        self.model_name = (name, version)
        self.model.info({"name": name, "version": version, "digest": digest})

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)

    def _close(self, label: str, value: str) -> str:
        return value if value in self._allowed[label] else OTHER

    def _show_zeros(self, topics: Sequence[str], signals: Sequence[str]) -> None:
        """A rate over a counter that is not there yet is empty, not 0."""
        for topic in topics:
            self.consumed.labels(topic)
            for verdict in VERDICTS:
                self.verdicts.labels(topic, verdict)
        for kind in ("update", "final"):
            self.engagement.labels(kind)
        for signal in signals:
            self.signals.labels(signal)
        for device in DEVICES:
            self.device_busy.labels(device)
        for tier in TIERS:
            self.tiers.labels(tier)
        self.up.set(1)
