"""Kinds of users, and what is usual: from where each training user ended up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusion.clustering import in_order, k_means, matched, names
from fusion.features import NUMERICS
from fusion.material import Example
from fusion.model import FusedModel
from fusion.training.encoding import encoded, preparation
from fusion.training.plan import Plan


@torch.no_grad()
def describe(
    model: FusedModel, examples: Sequence[Example], *, plan: Plan, previous: FusedModel | None = None
) -> FusedModel:
    """The finished model, its segments named; with `previous`, a segment keeps the id that its users had there."""
    points, people = ends(model, examples)
    centres = in_order(k_means(points, plan.segments, seed=plan.seed), points)
    if previous is not None:
        before = nearest(ends(previous, examples)[0], previous.heads["segment"].get_buffer("centres"))
        centres = centres[matched(before, nearest(points, centres), len(centres))]
    traits = np.concatenate([traits_of(example, model.config.actions) for example in examples])
    columns = (*model.config.actions, "events", "price", "speed")
    labels = names(traits, nearest(points, centres), columns, plan.segments)
    described = FusedModel(replace(model.config, segments=tuple(labels)))
    described.load_state_dict(model.state_dict())
    described.heads["segment"].get_buffer("centres").copy_(centres)
    mean, spread = people.mean(0), people.std(0).clamp(min=0.05)
    far = ((people - mean) / spread).square().mean(-1).sqrt()
    for name, value in (("mean", mean), ("spread", spread), ("usual", torch.stack([far.mean(), far.std()]))):
        described.heads["anomaly"].get_buffer(name).copy_(value)
    return described.eval()


def ends(model: FusedModel, examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """On the CPU: each user's last vector (u, 128), and every fifth vector of what is no bot (m, 128)."""
    prepare = preparation(model)
    last, everywhere = [], []
    for example in examples:
        inputs, fresh = encoded(model, prepare, example)
        vector = model(inputs, fresh).fused.vector.cpu()
        at = inputs.memories["text"].last.cpu()
        last.append(vector[at[at >= 0]])
        everywhere.append(vector[torch.from_numpy(example.outcomes.anomaly != 1)][::5])
    return torch.cat(last), torch.cat(everywhere)


def nearest(points: Tensor, centres: Tensor) -> NDArray[np.int64]:
    """(n,) numbers of the nearest centres."""
    found: NDArray[np.int64] = torch.cdist(points, centres.cpu()).argmin(1).numpy()
    return found


def traits_of(example: Example, actions: Sequence[str]) -> NDArray[np.float64]:
    """What each user with events did (users, actions + 3): shares of the actions, log count, price, speed."""
    features = example.features
    users = len(features.carried)
    count = np.bincount(features.row, minlength=users)
    shares = (
        np.stack([np.bincount(features.row, features.action == code, users) for code in range(len(actions))], 1)
        / count.clip(1)[:, None]
    )
    price = features.numerics[:, NUMERICS.index("log_price")]
    priced = np.bincount(features.row, ~np.isnan(price), users).clip(1)
    speed = -np.bincount(features.row, np.log1p(features.gap_s.clip(0)), users) / count.clip(1)
    more = np.stack([np.log(count.clip(1)), np.bincount(features.row, np.nan_to_num(price), users) / priced, speed], 1)
    everything: NDArray[np.float64] = np.concatenate([shares, more], 1)[count > 0]
    return everything
