"""Cross-validation makes a model per fold and says how far they agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fusion.model import FusedModel, ModelConfig
from fusion.training import Journal, Plan
from stream_app.events import ACTIONS
from stream_app.training.folds import cross_validate
from stream_app.training.gathering import recorded_stream
from stream_app.training.logs import simulated


@pytest.mark.timeout(180)
def test_three_folds_give_means_with_intervals() -> None:
    torch.manual_seed(0)
    log = simulated(users=60, days=4.0, activity=0.5, seed=3)
    journal = Journal()
    journal.console.quiet = True
    config = ModelConfig(actions=ACTIONS)
    figures = cross_validate(
        recorded_stream(log).material,
        [log],
        config,
        count=3,
        plan=Plan(pretraining_epochs=0, epochs=1, answer_epochs=1, segments=2),
        journal=journal,
        encoders=FusedModel(config),
    )
    purchase = figures["purchase, later"]
    assert 0 < purchase["n"] < len(log.events), "each event is asked about at most once"
    assert 0.3 < purchase["auc"] < 1
    assert purchase["auc_within"] > 0
    assert np.isfinite(list(figures["next action, later"].values())).all()
