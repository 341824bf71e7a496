"""Small procedurally drawn product photos: the shape says the category, the colour the product's colour."""

from __future__ import annotations

import base64
import io
from functools import cache
from math import cos, pi, sin
from random import Random

from PIL import Image, ImageDraw

from stream_app.producers.catalogue import COLOURS

VARIANTS = 4
SIDE_PX = 64


@cache
def photo(category: int, colour: int, variant: int) -> str:
    """A base64 JPEG under 4 KiB; the same arguments draw the same bytes."""
    rng = Random(f"{category} {colour} {variant}")
    shade = rng.randrange(190, 226)
    image = Image.new("RGB", (SIDE_PX, SIDE_PX), (shade, shade, shade - 10))
    draw = ImageDraw.Draw(image)
    rgb = COLOURS[colour][1]
    fill = (_near(rng, rgb[0]), _near(rng, rgb[1]), _near(rng, rgb[2]))
    outline = (90, 90, 90)
    centre = SIDE_PX / 2 + rng.uniform(-4, 4)
    kind, variety = divmod(category, 6)  # four families of six shapes
    size = rng.uniform(17, 23)
    if kind == 0:
        draw.polygon(_star(centre, size, 3 + variety, 1.0, rng.uniform(0, 0.4)), fill=fill, outline=outline)
    elif kind == 1:
        draw.polygon(_star(centre, size, 4 + variety, 0.45, rng.uniform(0, 0.4)), fill=fill, outline=outline)
    elif kind == 2:
        height = size * (0.3 + 0.15 * variety)
        draw.ellipse((centre - size, centre - height, centre + size, centre + height), fill=fill, outline=outline)
    else:
        width = 3 + variety
        for bar in range(1, variety + 2):
            x = centre - size + bar * 2 * size / (variety + 2)
            draw.rectangle((x - width / 2, centre - size, x + width / 2, centre + size), fill=fill, outline=outline)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=72)
    return base64.b64encode(buffer.getvalue()).decode()


def _near(rng: Random, level: int) -> int:
    return min(max(level + rng.randrange(-18, 19), 0), 255)


def _star(centre: float, radius: float, points: int, waist: float, turn: float) -> list[tuple[float, float]]:
    """Corners of a star; with waist 1 a regular polygon of `points` corners."""
    steps = points if waist == 1.0 else 2 * points
    return [
        (centre + r * cos(angle), centre + r * sin(angle))
        for i in range(steps)
        for r, angle in [(radius * (1.0 if i % 2 == 0 else waist), turn - pi / 2 + 2 * pi * i / steps)]
    ]
