import numpy as np
import torch

from fusion.dense_ensemble import DenseEnsemble, DensePlan
from fusion.evaluation import binary_report

torch.set_num_threads(1)


def test_a_rule_of_two_columns_is_learned_and_its_chances_are_meant() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(4000, 5)).astype(np.float32) * [1, 100, 1, 1, 1] + [0, 50, 0, 0, 0]
    chance = np.where((table[:, 0] > 0) & (table[:, 1] > 50), 0.8, 0.1)
    label = (rng.random(4000) < chance).astype(np.float32)
    model = DenseEnsemble(DensePlan(members=2, steps=500, hide_columns=0.0)).fit(
        table[:3000].astype(np.float32), label[:3000]
    )
    report = binary_report(label[3000:], model.score(table[3000:].astype(np.float32)))
    assert report["auc"] > 0.8
    assert report["ece"] < 0.08
    assert report["log_loss"] < 0.8 * report["base_log_loss"]


def test_the_same_seed_answers_the_same_and_constant_columns_do_no_harm() -> None:
    rng = np.random.default_rng(1)
    table = np.concatenate([rng.normal(size=(300, 2)), np.ones((300, 1))], 1).astype(np.float32)
    label = (table[:, 0] > 0).astype(np.float32)
    first, again, other = (
        DenseEnsemble(DensePlan(members=1, steps=20, seed=seed)).fit(table, label).score(table) for seed in (0, 0, 1)
    )
    assert np.isfinite(first).all()
    assert (first == again).all()
    assert (first != other).any()
