"""Images: whatever the bytes are, a vector or nothing."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from encoders.image import MAX_PIXELS, ImageEncoder, decoded, projected
from tests.fusion.shoppers import photo


def bomb(side: int) -> bytes:
    """A PNG of a few bytes that says it is side × side pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    packed = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_contract_s_kinds_are_read(kind: str) -> None:
    pixels = decoded(photo(kind=kind))
    assert pixels is not None
    assert pixels.shape == (3, 40, 40)


def test_other_kinds_are_not() -> None:
    file = io.BytesIO()
    Image.new("RGB", (9, 9)).save(file, "GIF")
    assert decoded(file.getvalue()) is None


@pytest.mark.parametrize("side", [int(MAX_PIXELS**0.5) + 1, 30_000, 2_000_000_000])
def test_bombs_are_not_unpacked(side: int) -> None:
    assert decoded(bomb(side)) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_a_picture_or_nothing(data: bytes) -> None:
    assert decoded(data) is None
    decoded(photo()[:300] + data)


@pytest.mark.parametrize("bad", [[], [0.0, 0.0], [np.nan, 1.0], [np.inf]])
def test_an_embedding_that_is_no_direction_is_absent(bad: list[float]) -> None:
    assert projected(np.array(bad, np.float32)) is None


def test_embeddings_of_any_length_become_the_same_vector_each_time() -> None:
    given_ = np.random.default_rng(0).normal(size=512).astype(np.float32)
    first = projected(given_)
    np.testing.assert_array_equal(projected(given_), first)
    np.testing.assert_allclose(np.linalg.norm(first), 1, rtol=1e-5)
    np.testing.assert_allclose(projected(given_ * 1e30), first, atol=1e-5)


def test_what_is_near_stays_near() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(size=512).astype(np.float32)
    near, far = projected(one + 0.1 * rng.normal(size=512)), projected(rng.normal(size=512).astype(np.float32))
    assert projected(one) @ near > 0.9 > abs(projected(one) @ far)


def test_a_photo_seen_twice_is_decoded_once() -> None:
    encoder = ImageEncoder().eval()
    prepared = encoder.prepare([photo(), photo()])
    assert len(encoder._pixels) == 1
    assert torch.equal(prepared.pixels[0], prepared.pixels[1])
