"""Upper layers of a transformer that learn: what they start from, what they learn, whom they leave alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from encoders.language.bert import Bert, Shape, UpperLayers
from encoders.language.transformer import padded
from fusion.text_blend import TURNS, TextBlend, Views
from fusion.text_convolution import States
from fusion.text_tuning import LAYERS, Net, Read, Tuned
from tests.encoders.bert import WORDS, tiny_weights

BELOW = 1


@pytest.fixture(scope="module")
def bert() -> Bert:
    return Bert(tiny_weights(layers=BELOW + LAYERS), Shape(BELOW + LAYERS, 3, read=(BELOW,)))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def texts(bert: Bert, count: int, seed: int) -> tuple[Read, NDArray[np.int64]]:
    """Yes says token 1 often, no says token 2; states as the layer below gives them."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, count)
    length = rng.integers(3, 9, count)
    ids = [
        np.where(rng.random(n) < 0.6, 2 - yes, rng.integers(3, WORDS, n)) for n, yes in zip(length, label, strict=True)
    ]
    tokens = padded([each.tolist() for each in ids])
    with torch.no_grad():
        hidden = bert(tokens.ids, tokens.real)[tokens.real]
    end = np.cumsum([len(each) for each in ids])
    flat = np.concatenate(ids)
    states = States(hidden.half().numpy(), flat, np.concatenate([[0], end[:-1]]), end)
    return Read(states, bert, BELOW), label


def test_they_begin_as_the_whole_model_goes_on(bert: Bert) -> None:
    whole = Bert(tiny_weights(layers=BELOW + LAYERS), Shape(BELOW + LAYERS, 3, read=(BELOW, BELOW + LAYERS)))
    tokens = padded([[3, 4, 5], [6]])
    with torch.no_grad():
        states = whole(tokens.ids, tokens.real)
        upper = UpperLayers(bert, BELOW, LAYERS).eval()(states[..., : whole.width], tokens.real)
    torch.testing.assert_close(upper[tokens.real], states[..., whole.width :][tokens.real])


def test_no_layers_above_the_last(bert: Bert) -> None:
    with pytest.raises(ValueError, match="above layer 2 of 4"):
        UpperLayers(bert, 2, LAYERS)


def test_they_learn_and_leave_the_model_alone(bert: Bert) -> None:
    before = {name: value.clone() for name, value in bert.named_buffers()}
    read, label = texts(bert, 3000, 0)
    model = Tuned().fit(read, label[:, None])
    held, truth = texts(bert, 300, 1)
    said = model.decision_function(held)
    assert ((said[:, 0] > 0) == truth).mean() > 0.85
    few = np.array([7, 3])
    np.testing.assert_allclose(model.decision_function(held[few]), said[few], atol=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in bert.named_buffers())


def test_the_same_seed_learns_the_same(bert: Bert) -> None:
    read, label = texts(bert, 150, 3)
    first, second = (Tuned(4).fit(read, label[:, None]).decision_function(read) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_narrow_products_change_little(bert: Bert, monkeypatch: pytest.MonkeyPatch) -> None:
    read, _ = texts(bert, 40, 6)
    hidden, _, real = read.states.batch(np.arange(40), torch.device("cpu"))
    torch.manual_seed(0)
    net = Net(read, 1).eval()
    answers = {}
    for kind in (torch.float32, torch.bfloat16):
        monkeypatch.setattr("fusion.text_tuning.quick_precision", lambda kind=kind: kind)
        answers[kind] = net(hidden, real).detach()
    wide, narrow = answers[torch.float32], answers[torch.bfloat16]
    assert narrow.dtype == torch.float32
    assert len(narrow.unique()) == len(wide.unique()), "answers are not rounded, only products are"
    assert 0 < (wide - narrow).abs().max() < 0.2 * wide.std()


def test_a_blend_believes_them_on_the_parts_that_they_have_not_seen(bert: Bert) -> None:
    read, label = texts(bert, 3600, 2)
    rng = np.random.default_rng(0)
    seen = Views((np.full(3600, "the shoes", object),), rng.normal(size=(3600, 4)).astype(np.float32), read.states)
    early, late = np.arange(3200), np.arange(3200, 3600)
    blend = TextBlend(analyzer="word", tuned=(bert, BELOW)).fit(seen.take(early), label[early])
    names = ("spelling", "meaning", "spelt alike", "meant alike", "tuned")
    assert {name: len(members) for name, members in blend.members.items()} == dict.fromkeys(names, TURNS)
    verdict = blend.verdict(seen.take(late))
    assert ((verdict.blend > 0.5) == label[late]).mean() > 0.85


def test_all_layers_above_learn_where_there_are_fewer() -> None:
    bert = Bert(tiny_weights(layers=BELOW + 1), Shape(BELOW + 1, 3, read=(BELOW,)))
    read, label = texts(bert, 64, 5)
    net = Tuned(0).fit(read, label[:, None]).net
    assert isinstance(net, Net)
    assert len(net.upper.layers) == 1 < LAYERS
