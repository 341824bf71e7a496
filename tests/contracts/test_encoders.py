"""Every modality: what an encoder must do to be registered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import encoders
from encoders import ENCODERS
from encoders.behavior import STATE, Acts, BehaviorEncoder
from encoders.image import ImageEncoder
from encoders.protocol import Encoded
from encoders.text import TextEncoder
from encoders.voice import Utterances, VoiceEncoder
from tests.fusion.shoppers import photo

TEXTS = ["Love it!", None, "质量很差", "", "quedó pequeño 😡", "😀", "لا بأس به", "a" * 5000]
SURE = np.array([0.9, np.nan, 0.3, np.nan, 0.5, 1, 0, 0.7], np.float32)
WORDS = [np.array([0.9, 0.1], np.float32), None, None, None, np.array([1, 0, 1], np.float32), None, None, None]
PICTURES = [photo(1), None, b"not a picture", photo(2, "PNG"), np.ones(7, np.float32), photo(3, "WEBP"), b"", None]
COUNT = 8


def acts(index: Sequence[int], *, padding: int = 0) -> Acts:
    """Eight users with one event each and up to four events before."""
    rng = np.random.default_rng(0)
    ring = np.arange(5)[None] >= 5 - np.arange(COUNT)[:, None] % 5
    columns = {
        "item": rng.integers(1, 2**63, COUNT).astype(np.uint64),
        "category": rng.integers(0, 9, COUNT).astype(np.uint64),
        "brand": np.zeros(COUNT, np.uint64),
        "action": rng.integers(1, 4, COUNT),
        "time_ms": np.full(COUNT, 1_700_000_000_000),
        "gap_s": rng.exponential(60, COUNT).astype(np.float32),
        "numerics": np.where(rng.random((COUNT, 3)) < 0.5, np.nan, 2.0).astype(np.float32),
        "ring_item": np.where(ring, rng.integers(1, 2**63, ring.shape), 0).astype(np.uint64),
        "ring_action": np.where(ring, rng.integers(1, 4, ring.shape), 0),
        "ring_time_ms": np.where(ring, 1_699_999_000_000, 0),
        "state": rng.integers(-127, 128, (COUNT, STATE)).astype(np.int8),
    }
    chosen = {name: column[list(index)] for name, column in columns.items()}
    for name in ("ring_item", "ring_action", "ring_time_ms"):
        chosen[name] = np.pad(chosen[name], ((0, 0), (padding, 0)))
    return Acts(row=np.arange(len(index)), **chosen)


def utterances(index: Sequence[int]) -> Utterances:
    return Utterances([TEXTS[i] for i in index], SURE[list(index)], [WORDS[i] for i in index])


Tracks = Callable[[Sequence[int]], Any]
SAMPLES: dict[str, tuple[Callable[[], nn.Module], Tracks]] = {
    "text": (TextEncoder, lambda index: [TEXTS[i] for i in index]),
    "voice": (lambda: VoiceEncoder(TextEncoder()), utterances),
    "image": (ImageEncoder, lambda index: [PICTURES[i] for i in index]),
    "behavior": (lambda: BehaviorEncoder(4, 3), acts),
}


@pytest.fixture(params=list(ENCODERS))
def sample(request: pytest.FixtureRequest) -> tuple[nn.Module, Tracks]:
    make, tracks = SAMPLES[request.param]
    torch.manual_seed(0)
    return make().eval(), tracks


def encode(encoder: nn.Module, track: Any) -> Encoded:
    with torch.no_grad():
        encoded = encoder(encoder.prepare(track))
    assert isinstance(encoded, Encoded)
    return encoded


def test_every_encoder_file_is_registered() -> None:
    files = {path.stem for path in Path(encoders.__path__[0]).glob("*.py")} - {
        "__init__",
        "protocol",
        "device",
        "linear",
        "look_back",
        "look_back_kernel",
        "rational",
        "recurrence",
        "graphs",
        "scratch",
        "tensors",
    }
    assert files == set(ENCODERS) == set(SAMPLES)


def test_shapes_and_confidence(sample: tuple[nn.Module, Tracks]) -> None:
    encoder, tracks = sample
    encoded = encode(encoder, tracks(range(COUNT)))
    assert encoded.vector.shape == (COUNT, encoder.size)
    assert encoded.vector.isfinite().all()
    assert ((encoded.confidence >= 0) & (encoded.confidence <= 1)).all()
    assert (encoded.confidence[~encoded.present] == 0).all()


def test_an_empty_track_works(sample: tuple[nn.Module, Tracks]) -> None:
    encoder, tracks = sample
    assert encode(encoder, tracks([])).vector.shape == (0, encoder.size)


def test_alone_equals_in_a_batch(sample: tuple[nn.Module, Tracks]) -> None:
    encoder, tracks = sample
    together = encode(encoder, tracks(range(COUNT)))
    for i in range(COUNT):
        for whole, alone in zip(together, encode(encoder, tracks([i])), strict=True):
            torch.testing.assert_close(whole[i : i + 1], alone, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["text", "voice", "image"])
def test_absent_is_zero_and_disturbs_no_neighbour(name: str) -> None:
    make, tracks = SAMPLES[name]
    torch.manual_seed(0)
    encoder = make().eval()
    both = encode(encoder, tracks([0, 1, 0]))
    assert both.present.tolist() == [True, False, True]
    assert (both.vector[1] == 0).all()
    torch.testing.assert_close(both.vector[0], both.vector[2])


def test_padding_of_the_ring_changes_nothing() -> None:
    make, _ = SAMPLES["behavior"]
    encoder = make().eval()
    short, long = (encode(encoder, acts(range(COUNT), padding=padding)) for padding in (0, 9))
    torch.testing.assert_close(short.vector, long.vector)


def test_behaviour_is_causal() -> None:
    make, _ = SAMPLES["behavior"]
    encoder = make().eval()
    track = acts(range(COUNT))._replace(row=np.zeros(COUNT, np.int64))
    track = track._replace(
        **{name: getattr(track, name)[:1] for name in ("ring_item", "ring_action", "ring_time_ms", "state")}
    )
    changed = track._replace(item=np.append(track.item[:-1], np.uint64(5)), action=np.append(track.action[:-1], 3))
    before, after = encode(encoder, track).vector, encode(encoder, changed).vector
    torch.testing.assert_close(before[:-1], after[:-1])
    assert not torch.equal(before[-1], after[-1])
