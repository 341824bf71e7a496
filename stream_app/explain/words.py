"""What a user did, in words."""

from __future__ import annotations

DEEDS = {
    "impression": "was shown {}",
    "view": "looked at {}",
    "click": "clicked on {}",
    "add_to_cart": "added {} to the cart",
    "remove_from_cart": "took {} out of the cart",
    "wishlist": "put {} on the wishlist",
    "purchase": "bought {}",
    "search": "searched",
    "review": "wrote about {}",
    "voice": "spoke",
}
SPANS = ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second"))


def phrase(action: str, products: list[str | None], span_ms: int) -> str:
    """Such as `added A1 to the cart twice in the last 4 minutes`; one product id per deed, span back to the first."""
    kinds = {product for product in products if product is not None}
    what = kinds.pop() if len(kinds) == 1 else f"{len(kinds)} products" if kinds else "something"
    return f"{DEEDS[action].format(what)} {times(len(products))} {ago(span_ms)}"


def times(count: int) -> str:
    """Once, twice, 3 times."""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def ago(span_ms: int) -> str:
    """How far back, in the largest unit that fits, rounded up."""
    for size_ms, unit in SPANS:
        if span_ms >= size_ms:
            count = -(-span_ms // size_ms)
            return f"in the last {unit}" if count == 1 else f"in the last {count} {unit}s"
    return "just now"
