"""Catalogue pictures of the invented shop: a pictogram per category in the product's colour. For people; no model
learns from them."""

from __future__ import annotations

import base64
import io
from functools import cache

from PIL import Image, ImageDraw

from stream_app.producers.catalogue import COLOURS

SIDE_PX, FINER = 96, 3

PICTOGRAMS: tuple[str, ...] = (
    # dress
    "pc 38 16 44 24 56 24 62 16 68 24 60 46 76 86 24 86 40 46 32 24; pd 40 44 60 44 62 50 38 50",
    # jeans
    "pc 32 14 68 14 74 88 56 88 50 40 44 88 26 88; pd 32 14 68 14 69 22 31 22",
    # sweater
    "pc 36 20 64 20 88 40 80 54 70 46 70 84 30 84 30 46 20 54 12 40; ed 40 14 60 28",
    # jacket
    "pc 36 16 64 16 86 36 82 74 70 74 70 86 30 86 30 74 18 74 14 36; pd 49 18 52 18 52 86 49 86; pl 38 16 50 34 62 16",
    # sneakers
    "pc 14 42 34 42 52 56 84 60 88 72 14 72; pl 12 72 90 72 88 80 14 80; pd 34 48 44 46 52 56 44 60",
    # boots
    "pc 34 12 60 12 60 58 84 68 86 80 32 80; pd 30 80 88 80 88 88 30 88; pl 34 12 60 12 60 20 34 20",
    # backpack
    "rd 40 8 60 30; rc 24 18 76 88; rl 32 54 68 80; pd 32 62 68 62 68 65 32 65",
    # watch
    "pd 42 6 58 6 60 34 40 34; pd 40 66 60 66 58 94 42 94; ec 26 26 74 74; el 32 32 68 68; pd 49 38 51 38 51 "
    "50 62 58 60 60 49 52",
    # phone
    "rc 30 8 70 92; rl 34 16 66 80; ed 47 83 53 89",
    # headphones
    "ad 20 16 80 84; rc 14 50 32 82; rc 68 50 86 82",
    # charger
    "rc 28 24 72 66; pd 38 10 44 10 44 24 38 24; pd 56 10 62 10 62 24 56 24; pd 47 66 53 66 53 92 47 92; pl 52"
    " 32 40 48 49 48 46 60 60 43 51 43",
    # tablet
    "rc 18 10 82 90; rl 24 18 76 80; ed 47 82 53 88",
    # sofa
    "rc 20 34 80 66; rd 8 46 28 76; rd 72 46 92 76; rl 26 54 74 70; pd 16 76 22 76 22 84 16 84; pd 78 76 84 76"
    " 84 84 78 84",
    # lamp
    "pc 36 12 64 12 80 50 20 50; pd 48 50 52 50 52 82 48 82; ed 30 78 70 90",
    # rug
    "rc 12 24 88 76; rl 20 32 80 68; pd 50 36 70 50 50 64 30 50",
    # bookshelf
    "rc 22 8 78 92; rl 28 14 72 36; rl 28 41 72 63; rl 28 68 72 88; pd 32 18 38 18 38 36 32 36; pd 42 22 48 22"
    " 48 36 42 36; pd 58 46 64 46 64 63 58 63",
    # kettle
    "ad 24 8 76 60; pc 34 34 66 34 76 86 24 86; pc 66 44 88 40 74 62; el 46 28 54 36",
    # blender
    "pl 32 10 68 10 62 60 38 60; pc 34 34 66 34 62 60 38 60; rd 32 60 68 90; ec 46 70 54 78",
    # knife set
    "rd 26 52 74 90; pc 32 12 40 22 40 52 32 52; pc 46 8 54 18 54 52 46 52; pc 60 12 68 22 68 52 60 52",
    # frying pan
    "pd 60 44 96 28 98 34 64 54; ec 8 32 72 80; el 16 38 64 72",
    # lipstick
    "pc 40 30 56 14 60 18 60 52 40 52; rl 37 46 63 64; rd 34 60 66 92",
    # shampoo
    "rd 40 8 60 24; rc 28 22 72 92; rl 34 44 66 76",
    # face cream
    "rc 16 38 84 84; rd 12 24 88 44; rl 28 54 72 74",
    # perfume
    "pd 42 10 58 10 58 22 42 22; pd 46 22 54 22 54 34 46 34; rc 24 34 76 90; rl 34 48 66 76",
)
"""Per category what to draw (p polygon, r rectangle, e ellipse, a arc), in which tone (c colour, d darker, l lighter)
and where, of 100 by 100."""


@cache
def picture(category: int, colour: int) -> str:
    """A base64 JPEG of some KB; the same arguments draw the same bytes."""
    rgb = COLOURS[colour][1]
    tones = {"c": rgb, "d": _mixed(rgb, (20, 22, 30), 0.45), "l": _mixed(rgb, (255, 255, 255), 0.55)}
    side = SIDE_PX * FINER
    image = Image.new("RGB", (side, side), _mixed(rgb, (238, 240, 244) if min(rgb) < 200 else (176, 184, 198), 0.86))
    draw = ImageDraw.Draw(image)
    for shape in PICTOGRAMS[category].split("; "):
        what, *corners = shape.split()
        kind, tone = what[0], what[1]
        at = [side * (0.1 + 0.008 * float(corner)) for corner in corners]
        if kind == "p":
            draw.polygon(at, fill=tones[tone])
        elif kind == "e":
            draw.ellipse(at, fill=tones[tone])
        elif kind == "a":
            draw.arc(at, 180, 360, fill=tones[tone], width=side // 18)
        else:
            draw.rounded_rectangle(at, side // 28, fill=tones[tone])
    packed = io.BytesIO()
    image.resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS).save(packed, "JPEG", quality=85)
    return base64.b64encode(packed.getvalue()).decode()


def _mixed(one: tuple[int, int, int], other: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue
