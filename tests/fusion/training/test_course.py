"""A training can be killed after any epoch and still gives the same model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders import TEXT_ENCODERS
from encoders.language.transformer import PACKAGES
from fusion.checkpoint import load_checkpoint, save_checkpoint
from fusion.errors import CheckpointError
from fusion.features import FeatureBatch
from fusion.material import Example, Material, Outcomes, Photos, Texts
from fusion.model import ModelConfig
from fusion.training import Journal, Plan, Saved, encoded, preparation, train
from fusion.training.descent import Best, Stage, descend
from tests.fusion.shoppers import ACTIONS, photo, shoppers

PLAN = Plan(text_epochs=2, voice_epochs=1, image_epochs=2, pretraining_epochs=1, epochs=2, answer_epochs=2, segments=2)
CONFIG = ModelConfig(actions=ACTIONS)


def outcomes(features: FeatureBatch, seed: int) -> Outcomes:
    rng, n = np.random.default_rng(seed), len(features)
    yes = (features.action == 3).astype(np.float32)
    away_s = rng.exponential(86_400 * 5, n).astype(np.float32) * rng.choice([-1, 1], n)
    churn = np.where(np.abs(away_s) > 14 * 86_400, 1.0, np.where(away_s > 0, 0.0, np.nan)).astype(np.float32)
    action = rng.integers(0, len(ACTIONS), n)
    return Outcomes(yes, churn, away_s, action, features.item, np.full(n, -1), np.zeros(n, np.float32))


def example(seed: int) -> Example:
    features = shoppers(60, users=6, seed=seed, history=0, words=0.4)
    return Example(features, outcomes(features, seed))


@pytest.fixture(scope="module")
def material() -> Material:
    words = np.array(["very good", "awful thing", "so so", "good shoes", "awful awful", "fine"] * 4, object)
    texts = Texts(words, np.array([2, 0, 1, 2, 0, 1] * 4), np.array([0, 1, -1, 0, 1, -1] * 4))
    data = np.empty(8, object)
    data[:] = [photo(number) for number in range(8)]
    photos = Photos(data, np.arange(8) % 2)
    return Material(texts, texts, photos, photos, [example(seed) for seed in range(3)], [example(9)])


def quiet() -> Journal:
    journal = Journal()
    journal.console.quiet = True
    return journal


class KilledError(Exception):
    """Where the power went."""


class Killed(Saved):
    """Dies right after the n-th epoch was written."""

    def __init__(self, path: Path, after: int) -> None:
        super().__init__(path)
        self.left = after

    def keep(self, stage: Stage, epoch: int, best: Best) -> None:
        super().keep(stage, epoch, best)
        self.left -= 1
        if not self.left:
            raise KilledError


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Sums in one order, as `stream-app train` makes them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def whole(material: Material) -> Mapping[str, torch.Tensor]:
    return train(material, CONFIG, plan=PLAN, journal=quiet()).state_dict()


@pytest.mark.parametrize("after", [2, 3, 6, 9])
def test_a_killed_training_goes_on_as_if_nothing_had_happened(
    after: int, material: Material, whole: Mapping[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "training.safetensors"
    with pytest.raises(KilledError):
        train(material, CONFIG, plan=PLAN, journal=quiet(), saved=Killed(path, after))
    torch.manual_seed(999)
    journal = quiet()
    again = train(material, CONFIG, plan=PLAN, journal=journal, saved=Saved(path, resume=True))
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, whole[name]), name
    assert next(row[:2] for row in journal.rows) == ("words", 1), "the curves are whole"
    assert not path.exists()


def test_another_plan_cannot_go_on(material: Material, tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    with pytest.raises(KilledError):
        train(material, CONFIG, plan=PLAN, journal=quiet(), saved=Killed(path, 1))
    with pytest.raises(CheckpointError, match="other options"):
        train(material, CONFIG, plan=replace(PLAN, seed=5), journal=quiet(), saved=Saved(path, resume=True))


@pytest.mark.parametrize("broken", [None, b"", b"no training"])
def test_nothing_to_resume_is_one_line(broken: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    if broken is not None:
        path.write_bytes(broken)
    with pytest.raises(CheckpointError) as refused:
        Saved(path, resume=True)
    assert "\n" not in str(refused.value)


def stage(losses: list[float], *, patience: int) -> tuple[Stage, torch.nn.Linear]:
    """Goes down x by 1 each epoch; the validation says what the test tells it to."""
    weight = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(weight.weight)
    told = iter(losses)
    loss: Callable[[object], torch.Tensor] = lambda _: weight.weight.sum()  # noqa: E731
    made = Stage(
        name="one",
        epochs=len(losses),
        modules=[weight],
        optimisers=[torch.optim.SGD(weight.parameters(), lr=1.0)],
        batches=lambda: [None],
        loss=loss,
        judge=lambda: {"valid_loss": next(told)},
        patience=patience,
    )
    return made, weight


def test_descent_stops_early_and_keeps_the_best_weights() -> None:
    made, weight = stage([3.0, 1.0, 2.0, 2.5, 0.0], patience=2)
    journal = quiet()
    descend(made, journal=journal, saved=Saved())
    assert weight.weight.item() == -2, "after the second epoch"
    assert max(row[1] for row in journal.rows) == 4, "two epochs without progress end it"


@pytest.mark.parametrize("text", list(TEXT_ENCODERS))
def test_texts_may_be_read_in_any_way(text: str, material: Material, tmp_path: Path) -> None:
    source = getattr(TEXT_ENCODERS[text], "source", None)
    if source is not None:
        pytest.importorskip(PACKAGES[source][0])
    plan = replace(PLAN, text_epochs=1, image_epochs=1, pretraining_epochs=0, epochs=1)
    model = train(material, replace(CONFIG, text=text), plan=plan, journal=quiet())
    path = tmp_path / "model.safetensors"
    save_checkpoint(model, path)
    stored = load_checkpoint(path).model
    given = material.sequences[0]
    with torch.no_grad():
        before, after = (each(*encoded(each, preparation(each), given)) for each in (model, stored))
    torch.testing.assert_close(after.raw["purchase"], before.raw["purchase"], atol=0.05, rtol=0.05)
    assert (after.fused.opinion.abs().sum(1) > 0).any(), "something was said"
