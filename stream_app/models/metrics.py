"""What Prometheus sees of models: swaps, grades per version, drift. Label sets are closed or bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, get_args

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from stream_app.models.grades import BINARY, BINS, EDGES, HEADS, Grade

Reason = Literal[
    "record", "path", "missing", "size", "digest", "artefact", "layout", "actions", "segments", "warm_up", "shadow"
]
"""Why a model does not serve: its control record, its file, what it would do to the users' states, or that it fails."""
REASONS: tuple[Reason, ...] = get_args(Reason)
OUTCOMES = ("no", "yes")
VERSIONS = 6
"""So many models' grades are shown, the latest; each is about 120 series."""
_BOUNDS = [*(f"{edge:.4g}" for edge in EDGES), "+Inf"]


class ModelMetrics:
    """Counters of the life of models, and at each scrape the present sums of the grades."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, help_text: str, *labels: str) -> Counter:
            return Counter(f"behavior_model_{name}", help_text, labels, registry=registry)

        self.swaps = counter("swaps", "Models that took over")
        self.returns = counter("returns", "Models that were taken back because they did worse than the one before")
        self.refused = counter("refused", "Models that must not serve", "reason")
        self.load = Gauge("behavior_model_load_seconds", "How long the last model took to load", registry=registry)
        self.shadow_events = counter("shadow_events", "Events that the shadow model has scored")
        self.shadow_skipped = counter("shadow_skipped", "Events that it left out because it was behind")
        self.shadow_distance = counter("shadow_distance", "Sum of its distance from the live purchase score")
        for reason in REASONS:
            self.refused.labels(reason)
        self.grades: dict[tuple[str, str], Grade] = {}  # by model and role
        self.psi: Callable[[], dict[str, float]] = dict
        registry.register(self)

    def show(self, role: str, grade: Grade) -> None:
        """From now on the grades of a model in a role (live, shadow)."""
        self.grades[grade.label, role] = grade
        while len(self.grades) > VERSIONS:
            del self.grades[next(iter(self.grades))]

    def describe(self) -> list[Metric]:
        """Without samples; the registry asks for it once."""
        return list(self._families())

    def collect(self) -> Iterator[Metric]:
        """All families with their samples."""
        graded, loss, brier, hits, auc, calibration, score, drift = self._families()
        for (model, role), grade in list(self.grades.items()):
            for head in HEADS:
                labels = [model, role, head]
                graded.add_metric(labels, grade.graded(head))
                loss.add_metric(labels, grade.log_loss(head))
            hits.add_metric([model, role], float(grade.choices[3]))
            for at, head in enumerate(BINARY):
                labels = [model, role, head]
                brier.add_metric(labels, grade.brier(head))
                auc.add_metric(labels, grade.auc(head))
                calibration.add_metric(labels, grade.calibration_error(head))
                for outcome, sums in zip(OUTCOMES, grade.outcomes[at], strict=True):
                    buckets = list(zip(_BOUNDS, np.cumsum(sums[:BINS]).tolist(), strict=True))
                    score.add_metric([*labels, outcome], buckets, float(sums[BINS]))
        for column, value in self.psi().items():
            drift.add_metric([column], value)
        yield from (graded, loss, brier, hits, auc, calibration, score, drift)

    def _families(
        self,
    ) -> tuple[
        CounterMetricFamily,
        CounterMetricFamily,
        CounterMetricFamily,
        CounterMetricFamily,
        GaugeMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        GaugeMetricFamily,
    ]:
        model = ["model", "role"]
        head = [*model, "head"]
        return (
            CounterMetricFamily("behavior_model_graded", "Answers whose truth is known", labels=head),
            CounterMetricFamily("behavior_model_log_loss", "Sum of their log losses", labels=head),
            CounterMetricFamily("behavior_model_brier", "Sum of their squared errors", labels=head),
            CounterMetricFamily("behavior_model_hits", "Next actions that were called", labels=model),
            GaugeMetricFamily("behavior_model_auc", "Chance that a yes was scored above a no", labels=head),
            GaugeMetricFamily("behavior_model_calibration_error", "Distance of said and true shares", labels=head),
            HistogramMetricFamily("behavior_model_score", "Graded scores by outcome", labels=[*head, "outcome"]),
            GaugeMetricFamily("behavior_model_drift_psi", "Population stability index of an input", labels=["input"]),
        )
