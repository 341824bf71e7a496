"""Photos, or somebody's embeddings of them, as vectors: a small CNN, or a fixed projection."""

import io
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
import xxhash
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from encoders.protocol import VECTOR, Encoded

PIXELS = 40
AT_ONCE = 8
"""Pictures of one pass on a CPU: what the first layer makes of them fits its cache, and sizes come again (see
`encoders.linear`)."""
MAX_PIXELS = 16_000_000
MAX_EMBEDDING = 8192
GIVEN_CONFIDENCE = 0.5
"""What a foreign embedding counts as: its space is not the CNN's."""
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_CACHE = 4096

Picture = bytes | NDArray[np.float32]


class Pictures(NamedTuple):
    """n pictures, of which p could be read as pixels and g were given as embeddings."""

    pixels: Tensor  # (p, 3, 40, 40) uint8
    pixel_position: Tensor  # (p,) int64 which of the n
    given: Tensor  # (g, 64) float32, projected
    given_position: Tensor  # (g,) int64
    total: int


class ImageEncoder(nn.Module):
    """Four convolutions over 40x40 pixels, or a projected embedding. Bad pictures are absent, never an error."""

    size = VECTOR

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *block(3, 16), *block(16, 32), *block(32, 64), nn.Conv2d(64, 96, 3, padding=1), nn.ReLU()
        )
        self.out = nn.Linear(2 * 96, VECTOR)
        self._pixels: dict[int, NDArray[np.uint8] | None] = {}

    def prepare(self, track: Sequence[Picture | None]) -> Pictures:
        """Decode pixels small, project given embeddings, leave the rest out."""
        pixels: list[NDArray[np.uint8]] = []
        given: list[NDArray[np.float32]] = []
        places: tuple[list[int], list[int]] = ([], [])
        for position, picture in enumerate(track):
            if isinstance(picture, bytes):
                if (seen := self.pixels(picture)) is not None:
                    pixels.append(seen)
                    places[0].append(position)
            elif picture is not None and (vector := projected(picture)) is not None:
                given.append(vector)
                places[1].append(position)
        shape = (len(pixels), 3, PIXELS, PIXELS)
        return Pictures(
            torch.from_numpy(np.stack(pixels)) if pixels else torch.zeros(shape, dtype=torch.uint8),
            torch.tensor(places[0], dtype=torch.int64),
            torch.from_numpy(np.stack(given)) if given else torch.zeros(0, VECTOR),
            torch.tensor(places[1], dtype=torch.int64),
            len(track),
        )

    def pixels(self, picture: bytes) -> NDArray[np.uint8] | None:
        """Decoded pixels, from the cache where the same photo was seen before."""
        key = xxhash.xxh3_64_intdigest(picture)
        if key not in self._pixels:
            if len(self._pixels) >= _CACHE:
                self._pixels.clear()
            self._pixels[key] = decoded(picture)
        return self._pixels[key]

    def forward(self, prepared: Pictures) -> Encoded:
        """(n, 64) vectors of length 1."""
        device = self.out.weight.device
        vector = torch.zeros(prepared.total, VECTOR, device=device)
        confidence = torch.zeros(prepared.total, device=device)
        if len(prepared.pixels):
            vector = vector.index_copy(0, prepared.pixel_position.long(), self.look(prepared.pixels))
            confidence[prepared.pixel_position] = 1.0
        if len(prepared.given):
            vector = vector.index_copy(0, prepared.given_position.long(), prepared.given)
            confidence[prepared.given_position] = GIVEN_CONFIDENCE
        return Encoded(vector, confidence > 0, confidence)

    def look(self, pixels: Tensor) -> Tensor:
        """The CNN: (p, 3, 40, 40) uint8 or 0..1 float to (p, 64)."""
        if pixels.device.type == "cpu" and not torch.is_grad_enabled():
            pooled = torch.cat([self._pooled(some) for some in torch.split(pixels, AT_ONCE)])
        else:
            pooled = self._pooled(pixels)
        return F.normalize(self.out(pooled), dim=-1)

    def _pooled(self, pixels: Tensor) -> Tensor:
        """(p, 192): the mean and the peak of each map."""
        x = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
        maps = self.features(x - 0.5)  # (p, 96, 5, 5)
        return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], -1)


def block(inner: int, outer: int) -> tuple[nn.Module, ...]:
    """Convolve, normalise, halve."""
    return nn.Conv2d(inner, outer, 3, padding=1), nn.BatchNorm2d(outer), nn.ReLU(), nn.MaxPool2d(2)


def decoded(picture: bytes) -> NDArray[np.uint8] | None:
    """(3, 40, 40) pixels, or None for anything that is not a small enough JPEG, PNG or WebP."""
    try:
        with Image.open(io.BytesIO(picture), formats=("JPEG", "PNG", "WEBP")) as image:
            if image.width * image.height > MAX_PIXELS:
                return None
            image.draft("RGB", (2 * PIXELS, 2 * PIXELS))
            small = opaque(image).resize((PIXELS, PIXELS), Image.Resampling.BILINEAR)
            if "exif" in image.info:
                small = turned(small, image.getexif().get(ORIENTATION))
    except Exception:  # Pillow raises what it likes for hostile bytes; all of it means "no picture"
        return None
    return np.ascontiguousarray(np.asarray(small, np.uint8).transpose(2, 0, 1))


def opaque(image: Image.Image) -> Image.Image:
    """As RGB, on white where it is transparent, 16-bit grey as 8-bit."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    clear = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")


def turned(image: Image.Image, orientation: int | None) -> Image.Image:
    """The way the camera says (Exif 2.3, tag 274): 1 to 8, anything else as it is."""
    method = TURNS.get(orientation or 1)
    return image if method is None else image.transpose(method)


def projected(embedding: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """An embedding of any length as 64 numbers of length 1, always the same; None if it is no vector."""
    flat = np.asarray(embedding, np.float32).ravel()[:MAX_EMBEDDING]
    if not flat.size or not np.isfinite(flat).all():
        return None
    largest = np.abs(flat).max()
    if largest == 0:
        return None
    mixed = (flat / largest) @ projection(flat.size)
    return np.asarray(mixed / max(float(np.linalg.norm(mixed)), 1e-12), np.float32)


@lru_cache(maxsize=16)
def projection(length: int) -> NDArray[np.float32]:
    """A fixed random matrix (length, 64) of signs."""
    signs = np.random.default_rng(length).integers(0, 2, (length, VECTOR), dtype=np.int8)
    return (2.0 * signs - 1).astype(np.float32)
