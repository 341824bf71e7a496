"""The scorer through its own doors, with the artefact that is shipped."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from encoders.text import hashed
from fusion.accelerator import Accelerator
from fusion.errors import NotFiniteError
from fusion.features import NO_ACTION, NO_TRACK, FeatureBatch, PredictionBatch
from fusion.heads import HEADS
from fusion.scorer import Scorer
from tests.fusion.rendering import outputs
from tests.fusion.shoppers import ACTIONS, filled, photo, shoppers

PER_USER = ("history_item", "history_action", "history_time_ms")


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    scorer = Scorer.load(device="cpu", actions=ACTIONS)
    filled(scorer.index, items=500, visits=3000)
    return scorer


def part(batch: FeatureBatch, events: NDArray[np.int64], carried: NDArray[np.void]) -> FeatureBatch:
    """Some events of a batch, as they would come in a later batch: with what came before in the ring."""
    rows = batch.row[events]
    users, local = np.unique(rows, return_inverse=True)
    ring = {name: getattr(batch, name)[users].copy() for name in PER_USER}
    for at, user in enumerate(users):
        past = np.flatnonzero((batch.row == user) & (np.arange(len(batch)) < events[rows == user][0]))
        for name, column in zip(PER_USER, (batch.item, batch.action, batch.event_time_ms), strict=True):
            ring[name][at] = np.concatenate([ring[name][at], column[past].astype(ring[name].dtype)])[-32:]
    kept = {f.name: getattr(batch, f.name)[events] for f in fields(batch) if f.name not in (*PER_USER, "carried")}
    return FeatureBatch(**{**kept, "row": local, **ring, "carried": carried[users]})


def in_batches(scorer: Scorer, batch: FeatureBatch, limit: int) -> tuple[list[PredictionBatch], NDArray[np.void]]:
    carried = batch.carried.copy()
    answers = []
    for start in range(0, len(batch), limit):
        events = np.arange(start, min(start + limit, len(batch)))
        answers.append(scorer.score(part(batch, events, carried)))
        carried[np.unique(batch.row[events])] = answers[-1].carried
    return answers, carried


@pytest.mark.parametrize("limit", [1, 7])
def test_where_batches_end_changes_nothing(scorer: Scorer, limit: int) -> None:
    batch = shoppers(256, users=20, seed=3, history=9, words=0.3)
    whole, (cut, carried) = scorer.score(batch), in_batches(scorer, batch, limit)
    for head in HEADS:
        for name, column in whole.columns[head].items():
            if column.dtype.kind == "f":
                again = np.concatenate([answer.columns[head][name] for answer in cut])
                np.testing.assert_allclose(again, column, atol=0.02, err_msg=f"{head}.{name}")
    again = np.concatenate([answer.modalities for answer in cut])
    np.testing.assert_allclose(again, whole.modalities, atol=0.02)
    for name in ("seen", "acts"):
        np.testing.assert_array_equal(carried[name], whole.carried[name])
    assert np.abs(carried["state"].astype(int) - whole.carried["state"]).max() <= 2
    for memory in ("text", "voice", "image", "opinion"):
        np.testing.assert_array_equal(carried[memory]["time_ms"], whole.carried[memory]["time_ms"])
        np.testing.assert_allclose(carried[memory]["confidence"], whole.carried[memory]["confidence"], rtol=1e-5)


MASKS = [mask for mask in product([False, True], repeat=4) if any(mask)]


@pytest.mark.parametrize("mask", MASKS, ids=lambda mask: "".join("btvi"[i] if on else "-" for i, on in enumerate(mask)))
def test_all_fifteen_masks(scorer: Scorer, mask: tuple[bool, ...]) -> None:
    behavior, text, voice, image = mask
    batch = shoppers(4, users=1, history=0, words=0)
    said = np.full(4, NO_TRACK, np.uint8)
    words = np.full(4, None, object)
    pictures = np.full(4, None, object)
    action = np.full(4, ACTIONS.index("review"), np.uint8)
    if behavior:
        action[0] = ACTIONS.index("view")
    if text:
        said[1], words[1] = 0, "lovely"
    if voice:
        said[2], words[2], action[2] = 1, "where is my order", ACTIONS.index("voice")
    if image:
        pictures[3] = photo()
    batch = replace(batch, action=action, track=said, text=words, image=pictures)
    answer = scorer.score(batch)
    shares = answer.modalities[-1]
    np.testing.assert_allclose(shares.sum(), 1, atol=1e-5)
    assert (shares > 0).tolist() == list(mask)
    said = {name: outputs(head.render(answer.columns[name]), len(batch)) for name, head in scorer.heads.items()}
    assert (said["sentiment"][-1] is None) == (not text and not voice)
    assert all(output is not None for name, each in said.items() if name != "sentiment" for output in each)


def test_an_answer_stays_what_it_is_when_others_follow(scorer: Scorer) -> None:
    batch, other = (shoppers(300, users=30, seed=seed, words=0.3) for seed in (5, 6))
    first = scorer.score(batch)
    before = {name: {key: value.copy() for key, value in each.items()} for name, each in first.columns.items()}
    shares, carried = first.modalities.copy(), first.carried.copy()
    scorer.score(other)
    again = Scorer.load(device="cpu", actions=ACTIONS)  # whose arrays nothing has been in
    filled(again.index, items=500, visits=3000)
    anew = again.score(batch)
    for head, columns in before.items():
        for name, column in columns.items():
            np.testing.assert_array_equal(first.columns[head][name], column)
            if column.dtype.kind == "f":
                np.testing.assert_allclose(anew.columns[head][name], column, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(first.modalities, shares)
    np.testing.assert_array_equal(first.carried, carried)


def test_an_empty_batch_works(scorer: Scorer) -> None:
    answer = scorer.score(shoppers(0, users=1))
    assert len(answer) == 0
    for name, head in scorer.heads.items():
        assert outputs(head.render(answer.columns[name]), 0) == []
    assert answer.carried.dtype == scorer.carried_dtype


def test_a_user_without_events_keeps_their_state(scorer: Scorer) -> None:
    batch = shoppers(1, users=1)
    two = replace(
        batch,
        **{name: getattr(batch, name).repeat(2, 0) for name in PER_USER},
        carried=np.zeros(2, scorer.carried_dtype),
    )
    two.carried["seen"] = 7
    assert scorer.score(two).carried["seen"].tolist() == [8, 7]


def test_unseen_ids_scripts_and_actions_get_an_answer(scorer: Scorer) -> None:
    strange = Scorer.load(device="cpu", actions=(*ACTIONS, "teleport"))
    batch = shoppers(3, users=3, history=0)
    batch.action[:] = len(ACTIONS)
    batch.item[:] = 2**64 - 1
    batch.text[:] = ["ᚠᚢᚦ ᚨᚱᚲ", "\ud800 lone", "𓂀" * 10_000]
    batch.track[:] = 0
    answer = strange.score(batch)
    assert np.isfinite(answer.columns["purchase"]["score"]).all()
    known = scorer.score(batch).columns["recommendations"]["product_id"]
    assert known.shape == (3, 10)
    assert all(item is not None for item in known.ravel()), "popular items for strangers"


def test_without_an_index_nothing_is_recommended() -> None:
    fresh = Scorer.load(device="cpu", actions=ACTIONS)
    answer = fresh.score(shoppers(5))
    assert outputs(fresh.heads["recommendations"].render(answer.columns["recommendations"]), 5) == [[]] * 5


def test_a_review_lasts_into_later_clicks_and_fades(scorer: Scorer) -> None:
    first = shoppers(1, users=1, history=0, words=0)
    review = replace(
        first,
        action=np.array([ACTIONS.index("review")], np.uint8),
        track=np.zeros(1, np.uint8),
        text=np.array(["terrible quality, broken"], object),
    )
    after = {"carried": scorer.score(review).carried, "gap_s": np.array([60], np.float32)}
    shares = []
    for days in (0, 20):
        later = replace(first, **after, event_time_ms=first.event_time_ms + 60_000 + days * 86_400_000)
        answer = scorer.score(later)
        assert answer.columns["sentiment"]["present"].all()
        shares.append(float(answer.modalities[0, 1]))
    assert shares[0] > 0
    assert shares[0] != shares[1]


def test_a_number_that_is_not_finite_names_its_head_and_its_events(scorer: Scorer) -> None:
    broken = Scorer.load(device="cpu", actions=ACTIONS)
    with torch.no_grad():
        broken._net.heads["churn"].out.bias.fill_(float("nan"))
    with pytest.raises(NotFiniteError, match="churn") as caught:
        broken.score(shoppers(3))
    assert caught.value.rows.tolist() == [0, 1, 2]
    assert caught.value.made is None


@pytest.mark.parametrize("accelerated", [False, True])
def test_a_number_that_is_not_finite_stays_with_its_user(accelerated: bool) -> None:
    scorer = Scorer.load(device="cpu", actions=ACTIONS)
    if accelerated:
        scorer._accelerator = Accelerator(scorer._net, torch.device("cpu"))
    batch = shoppers(200, users=40, seed=8, words=0.5)
    batch.carried["text"]["vector"][0] = 1
    batch.carried["text"]["scale"][0] = np.inf  # in the place that users without a memory read
    with pytest.raises(NotFiniteError) as caught:
        scorer.score(batch)
    assert set(batch.row[caught.value.rows]) == {0}


def test_what_an_encoder_gives_no_number_for_is_left_out_as_if_the_model_did_not_know_of_it() -> None:
    scorer, accelerated = (Scorer.load(device="cpu", actions=ACTIONS) for _ in range(2))
    accelerated._accelerator = Accelerator(accelerated._net, torch.device("cpu"))
    batch = shoppers(200, users=20, seed=8, words=0.5)
    bad = np.flatnonzero(batch.track == 0)[::7]
    batch.text[bad] = "unthinkable"
    for each in (scorer, accelerated):
        with torch.no_grad():
            each._net.text.table.weight[hashed("unthinkable").ids[0]] = torch.nan
    with pytest.raises(NotFiniteError) as caught:
        scorer.score(batch)
    assert caught.value.rows.tolist() == bad.tolist()
    found = caught.value.made
    assert found is not None

    with pytest.raises(NotFiniteError) as later:
        accelerated.score(batch)
    assert later.value.made is None
    named, rows = later.value.rows, batch.row[later.value.rows]
    assert (
        named[np.unique(rows, return_index=True)[1]].tolist()
        == bad[np.unique(batch.row[bad], return_index=True)[1]].tolist()
    )
    assert len(found) == 200 - len(bad)
    for columns in found.columns.values():
        assert all(np.isfinite(column).all() for column in columns.values() if column.dtype.kind == "f")
    np.testing.assert_allclose(found.modalities.sum(1), 1, atol=1e-4)
    np.testing.assert_array_equal(
        found.carried["seen"] - batch.carried["seen"], np.bincount(np.delete(batch.row, bad), minlength=20)
    )


def test_not_a_number_in_a_feature_is_absent(scorer: Scorer) -> None:
    batch = shoppers(4)
    batch.numerics[:] = np.nan
    batch.confidence[:] = np.nan
    assert np.isfinite(scorer.score(batch).columns["anomaly"]["score"]).all()


@pytest.mark.parametrize("tier", ["no_recommendations", "behavior_only"])
def test_a_lesser_tier_carries_on_what_the_full_one_does(scorer: Scorer, tier: str) -> None:
    batch = shoppers(200, users=40, seed=8, words=0.5)
    full, lesser = scorer.score(batch), scorer.score(batch, tier)
    assert lesser.tier == tier
    assert lesser.carried.tobytes() == full.carried.tobytes()
    assert full.columns.keys() - lesser.columns.keys() == {"recommendations"}


def test_answers_from_behaviour_alone_know_no_words_of_users_who_have_acted(scorer: Scorer) -> None:
    batch = shoppers(200, users=40, seed=8, words=0.5)
    silent = replace(batch, text=np.full(200, None, object), image=np.full(200, None, object))
    lesser, other = (scorer.score(one, "behavior_only") for one in (batch, silent))
    acted = np.flatnonzero(lesser.modalities[:, 0] > 0)
    assert (lesser.modalities[acted, 1:] == 0).all()
    assert 100 < len(acted) < 200  # who has but spoken is answered from that
    assert np.delete(lesser.modalities, acted, 0)[:, 1:].any()
    for head in ("purchase", "churn", "anomaly"):
        np.testing.assert_allclose(lesser.columns[head]["score"][acted], other.columns[head]["score"][acted], atol=1e-4)
    with pytest.raises(ValueError, match="unknown tier"):
        scorer.score(batch, "cheap")


def test_cold_start_is_a_users_first_events(scorer: Scorer) -> None:
    answer = scorer.score(shoppers(5, users=1, history=0))
    assert answer.cold_start.tolist() == [True, True, False, False, False]


def test_histories_are_padded_with_no_action() -> None:
    assert (shoppers(3, history=0).history_action == NO_ACTION).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_gpu_agrees_with_the_cpu(scorer: Scorer) -> None:
    gpu = Scorer.load(device="cuda", actions=ACTIONS)
    batch = shoppers(64, seed=2)
    for head in ("purchase", "churn", "anomaly"):
        ours, theirs = (each.score(batch).columns[head]["score"] for each in (scorer, gpu))
        np.testing.assert_allclose(ours, theirs, atol=0.02)
