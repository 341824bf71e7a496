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


def test_what_answers_on_a_cpu_is_what_was_learned() -> None:
    torch.manual_seed(0)
    encoder, pixels = ImageEncoder(), torch.rand(20, 3, 40, 40)
    for _ in range(3):
        encoder.look(pixels)  # the norms see something
    encoder.eval()
    learned = encoder.look(pixels).detach()
    with torch.inference_mode():
        torch.testing.assert_close(encoder.look(pixels), learned, atol=1e-5, rtol=0)
    other = ImageEncoder().eval()
    encoder.load_state_dict(other.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(encoder.look(pixels), other.look(pixels))
        assert not torch.allclose(encoder.look(pixels), learned, atol=1e-3)
        encoder.train()
        encoder.features[0].weight.mul_(0.5)
        assert not torch.allclose(encoder.eval().look(pixels), other.look(pixels), atol=1e-3)
    assert encoder.state_dict().keys() == other.state_dict().keys()


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


@given(st.sampled_from(["JPEG", "PNG", "WEBP"]), st.floats(0, 0.98))
def test_a_cut_off_picture_is_nothing(kind: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    whole = saved(Image.fromarray(noise), kind)
    assert decoded(whole) is not None
    assert decoded(whole[: int(share * len(whole))]) is None


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("CMYK", "JPEG"), ("L", "JPEG"), ("1", "PNG"), ("L", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("RGBA", "WEBP")],
)
def test_every_kind_of_colour_is_read(mode: str, kind: str) -> None:
    white = Image.new("RGB", (30, 20), "white").convert(mode)
    pixels = decoded(saved(white, kind))
    assert pixels is not None
    assert pixels.shape == (3, 40, 40)
    assert pixels.min() > 250


def test_deep_grey_is_not_clipped_to_white() -> None:
    ramp = np.linspace(0, 65535, 40).astype(np.uint16)
    pixels = decoded(saved(Image.fromarray(np.tile(ramp, (40, 1))), "PNG"))
    assert pixels is not None
    assert abs(int(pixels[0, 20, 20]) - 130) < 12


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white_whatever_lies_under_it(mode: str) -> None:
    clear = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    image = clear.convert("LA") if mode == "LA" else clear
    data = saved(Image.new("P", (20, 20), 0), "PNG", transparency=0) if mode == "P" else saved(image, "PNG")
    pixels = decoded(data)
    assert pixels is not None
    assert pixels.min() == 255


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_a_moving_picture_the_first_frame_counts(kind: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "lime")]
    options = {"lossless": True} if kind == "WEBP" else {}
    pixels = decoded(saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, **options))
    assert pixels is not None
    assert pixels[:, 20, 20].tolist() == [255, 0, 0]


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1)])
def test_odd_shapes_are_read(size: tuple[int, int]) -> None:
    pixels = decoded(saved(Image.new("RGB", size, "blue"), "PNG"))
    assert pixels is not None
    assert pixels[:, 0, 0].tolist() == [0, 0, 255]


def test_a_photo_is_turned_the_way_its_camera_says() -> None:
    image = Image.new("RGB", (80, 80), "white")
    image.paste("black", (0, 0, 80, 40))  # dark above
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    upright, turned = decoded(saved(image, "JPEG")), decoded(saved(image, "JPEG", exif=exif))
    assert upright is not None
    assert turned is not None
    assert upright[0, 5, 20] < 20 < 235 < turned[0, 5, 20]
