"""What a GPU runs, on the CPU: one copy there and back, graphs' buffers, users' state on the device."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from encoders.graphs import Staging
from encoders.tensors import leaves, mapped, packed, refilled, sent, unpacked
from fusion.accelerator import Accelerator
from fusion.device_state import DeviceState, Resident
from fusion.features import TIERS, FeatureBatch, PredictionBatch
from fusion.inputs import CARRIED, MEMORIES
from fusion.scorer import Scorer
from tests.fusion.shoppers import ACTIONS, shoppers

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer.load(device="cpu", actions=ACTIONS)


@pytest.fixture(scope="module")
def accelerated() -> Scorer:
    """The GPU's way through the scorer, on the CPU."""
    scorer = Scorer.load(device="cpu", actions=ACTIONS)
    scorer._accelerator = Accelerator(scorer._net, CPU)
    return scorer


def same(ours: PredictionBatch, theirs: PredictionBatch, atol: float) -> None:
    for head, columns in theirs.columns.items():
        for name, column in columns.items():
            if column.dtype.kind == "f":
                np.testing.assert_allclose(ours.columns[head][name], column, atol=atol, err_msg=f"{head}.{name}")
            else:
                assert (ours.columns[head][name] == column).all(), f"{head}.{name}"
    np.testing.assert_allclose(ours.modalities, theirs.modalities, atol=50 * atol)
    assert (ours.carried == theirs.carried).all(), "nothing that is carried goes through a graph"


@pytest.mark.parametrize("events", [1, 16, 17, 300])
def test_graphs_buffers_change_no_answer(scorer: Scorer, accelerated: Scorer, events: int) -> None:
    for seed, tier in enumerate(TIERS):  # each time over what the one before left
        batch = shoppers(events, seed=seed, words=0.3)
        same(accelerated.score(batch, tier), scorer.score(batch, tier), atol=2e-5)


def later(batch: FeatureBatch, carried: np.ndarray) -> FeatureBatch:
    return replace(batch, carried=carried)


def blind(carried: np.ndarray) -> np.ndarray:
    """Without what the device has: garbage in its place."""
    left = carried.copy()
    left["state"] = 99
    for name in MEMORIES:
        left[name]["vector"] = -99
    return left


def test_users_resident_on_the_device_are_those_of_the_host(accelerated: Scorer) -> None:
    rng, table = np.random.default_rng(0), DeviceState(64, CPU)
    host = np.zeros(64, CARRIED)
    table.put(np.arange(64), host)
    for seed in range(5):
        batch = shoppers(70, users=40, seed=seed, words=0.5)
        rows = rng.permutation(64)[: len(batch.carried)]
        expected = accelerated.score(later(batch, host[rows]))
        found = accelerated.score(later(batch, blind(host[rows])), resident=Resident(table, rows))
        same(found, expected, atol=0)
        host[rows] = expected.carried
        state, memories = table.gather(table.at(np.arange(64)))
        assert (state.numpy() == host["state"]).all()
        for i, name in enumerate(MEMORIES):
            assert (memories[:, i].numpy() == host[name]["vector"] * host[name]["scale"][:, None]).all(), name
    assert any((host[name]["scale"] > 0).any() for name in MEMORIES), "there was something to remember"


def test_a_resident_user_without_an_event_keeps_their_row(accelerated: Scorer) -> None:
    one = shoppers(1, users=1)
    ring = {name: getattr(one, name).repeat(2, 0) for name in ("history_item", "history_action", "history_time_ms")}
    table, carried = DeviceState(3, CPU), np.zeros(2, CARRIED)
    carried["state"] = 7
    table.put(np.array([2, 0]), carried)
    answer = accelerated.score(replace(one, **ring, carried=carried), resident=Resident(table, np.array([2, 0])))
    assert (table.state[0] == 7).all()
    assert (table.state[2].numpy() == answer.carried["state"][0]).all()
    assert not (table.state[2] == 7).all()


def test_a_row_given_to_another_user_forgets_the_first() -> None:
    table, carried = DeviceState(2, CPU), np.ones(1, CARRIED)
    table.put(np.array([1]), carried)
    assert table.gather(table.at(np.array([1])))[1].eq(1).all()
    table.put(np.array([1]), np.zeros(1, CARRIED))
    assert table.gather(table.at(np.array([1])))[1].eq(0).all()
    assert table.size_bytes == 2 * 400


def test_a_scorer_without_a_device_takes_no_residents(scorer: Scorer) -> None:
    with pytest.raises(ValueError, match="has none"):
        scorer.score(shoppers(2), resident=Resident(DeviceState(2, CPU), np.arange(2)))


def test_a_value_comes_and_goes_in_one_copy() -> None:
    value = {
        "a": (torch.arange(5), [torch.tensor([True, False, True]), 3]),
        "b": torch.zeros(0, 4),
        "c": torch.randn(3, 2).T,
        "d": torch.tensor(2.5, dtype=torch.float64),
        "e": torch.arange(7, dtype=torch.int8),
    }
    staging = Staging(CPU)
    there, back = sent(value, staging), refilled(value, iter(unpacked(packed(leaves(value)), leaves(value))))
    for found in (there, back):
        assert found["a"][1][1] == 3
        for ours, theirs in zip(leaves(found), leaves(value), strict=True):
            assert ours.dtype == (torch.int32 if found is there and theirs.dtype == torch.int64 else theirs.dtype)
            assert torch.equal(ours, theirs.to(ours.dtype))
    assert leaves(sent({"none": torch.zeros(0)}, staging))[0].shape == (0,)
    assert leaves(mapped(value, lambda tensor: tensor + tensor))[0].tolist() == [0, 2, 4, 6, 8]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_residents_of_a_gpu_are_those_of_the_host() -> None:
    gpu, device = Scorer.load(device="cuda", actions=ACTIONS), torch.device("cuda")
    table, host = DeviceState(64, device), np.zeros(64, CARRIED)
    for seed in range(3):
        batch = shoppers(70, users=40, seed=seed, words=0.5)
        rows = np.random.default_rng(seed).permutation(64)[: len(batch.carried)]
        expected = gpu.score(later(batch, host[rows]))
        found = gpu.score(later(batch, blind(host[rows])), resident=Resident(table, rows))
        same(found, expected, atol=1e-6)
        host[rows] = expected.carried
