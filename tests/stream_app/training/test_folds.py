"""Cross-validation makes a model per fold and says how far they agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fusion.model import FusedModel, ModelConfig
from fusion.report import Figures
from fusion.training import Journal, Plan
from stream_app.errors import DependencyError
from stream_app.events import ACTIONS
from stream_app.training.folds import cross_validate
from stream_app.training.gathering import recorded_stream
from stream_app.training.logs import Log, simulated


def validated(log: Log, logs: list[Log]) -> Figures:
    """Folds of `logs`; words and photos of `log`."""
    torch.manual_seed(0)
    journal = Journal()
    journal.console.quiet = True
    config = ModelConfig(actions=ACTIONS)
    plan = Plan(pretraining_epochs=0, epochs=1, answer_epochs=1, segments=2)
    material, encoders = recorded_stream(log).material, FusedModel(config)
    return cross_validate(material, logs, config, count=3, plan=plan, journal=journal, encoders=encoders)


@pytest.mark.timeout(180)
def test_three_folds_give_means_with_intervals() -> None:
    log = simulated(users=60, days=4.0, activity=0.5, seed=3)
    late = log.take(log.events.event_time_ms > np.quantile(log.events.event_time_ms, 0.9))
    few = late.take(late.events.user == late.events.user[0])
    figures = validated(log, [log, few])
    purchase = figures["purchase, later"]
    assert 0 < purchase["n"] < len(log.events), "each event is asked about at most once"
    assert 0.3 < purchase["auc"] < 1
    assert purchase["auc_within"] > 0
    assert np.isfinite(list(figures["next action, later"].values())).all()


def test_too_few_users_for_the_folds_is_one_line() -> None:
    log = simulated(users=60, days=4.0, activity=0.5, seed=3)
    with pytest.raises(DependencyError, match="too few users and events for 3 folds"):
        validated(log, [log.take(log.events.user == log.events.user[0])])
