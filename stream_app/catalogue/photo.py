"""Photos made small enough to hold and to show."""

from __future__ import annotations

import io

from PIL import Image, ImageOps

SIDE_PX = 128
MAX_PIXELS = 16_000_000


def thumbnail(picture: bytes) -> bytes | None:
    """A JPEG of at most SIDE_PX by SIDE_PX, some KB; None for what is not a small enough JPEG, PNG or WebP."""
    try:
        with Image.open(io.BytesIO(picture), formats=("JPEG", "PNG", "WEBP")) as image:
            if image.width * image.height > MAX_PIXELS:
                return None
            image.draft("RGB", (2 * SIDE_PX, 2 * SIDE_PX))
            image.thumbnail((SIDE_PX, SIDE_PX))
            upright = ImageOps.exif_transpose(image).convert("RGBA")
        small = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright).convert("RGB")
        packed = io.BytesIO()
        small.save(packed, "JPEG", quality=82)
    except Exception:  # Pillow raises what it likes for hostile bytes; all of it means "no picture"
        return None
    return packed.getvalue()
